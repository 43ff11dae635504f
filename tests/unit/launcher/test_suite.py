"""Sightmill's processes as data."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from sightmill.launcher import suite
from sightmill.launcher.errors import BinaryMissingError
from sightmill.launcher.settings import LaunchSettings, read_settings
from sightmill.launcher.spec import ProcessSpec
from sightmill.launcher.suite import build_suite

USERS_OWN = {
    "MALLOC_ARENA_MAX": "9",
    "MISTRAL_API_KEY": "secret",
    "SIGHTMILL_INGEST_MAX_BYTES": "1000",
    "SIGHTMILL_CATALOG_ADDRESS": "elsewhere:1",
}


@pytest.fixture
def settings(tmp_path: Path) -> LaunchSettings:
    binary = tmp_path / "program"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o700)
    made = replace(
        read_settings(USERS_OWN, tmp_path / "data"), nats_binary=str(binary), envoy_binary=str(binary)
    )
    made.run_dir.mkdir(parents=True)
    return made


def by_name(settings: LaunchSettings) -> dict[str, ProcessSpec]:
    return {spec.name: spec for spec in build_suite(settings, 3).specs}


def test_all_processes_are_there_and_stop_from_the_edge_inwards(settings: LaunchSettings) -> None:
    specs = by_name(settings)
    order = sorted(specs, key=lambda name: specs[name].stage)
    assert order[:4] == ["envoy", "gateway", "ingest", "worker"]
    assert set(order[4:6]) == {"analyzer", "captioner"}
    assert order[6:] == ["catalog", "nats"]


def test_services_are_told_where_the_others_are(settings: LaunchSettings) -> None:
    specs = by_name(settings)
    environment = specs["ingest"].environment
    assert environment["SIGHTMILL_CATALOG_ADDRESS"] == "127.0.0.1:50054", "not where the user's variable says"
    assert environment["SIGHTMILL_CATALOG_LISTEN"] == "127.0.0.1:50054"
    assert environment["SIGHTMILL_NATS_URL"] == f"nats://{specs['nats'].address}"
    assert environment["SIGHTMILL_DATA_DIR"] == str(settings.data_dir)


def test_the_users_own_settings_go_on(settings: LaunchSettings) -> None:
    environment = by_name(settings)["captioner"].environment
    assert environment["MISTRAL_API_KEY"] == "secret"
    assert environment["SIGHTMILL_INGEST_MAX_BYTES"] == "1000"
    assert environment["MALLOC_ARENA_MAX"] == "9"
    assert environment["MALLOC_MMAP_THRESHOLD_"] == str(8 * 1024 * 1024)
    assert by_name(settings)["analyzer"].environment["OMP_THREAD_LIMIT"] == "1"


def test_the_token_is_new_each_time_and_only_this_user_can_read_it(settings: LaunchSettings) -> None:
    tokens = {by_name(settings)["catalog"].environment["SIGHTMILL_NATS_TOKEN"] for _ in range(2)}
    assert len(tokens) == 2
    config = settings.run_dir / "nats.conf"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    text = config.read_text()
    assert "sync_interval: always" in text
    assert str(settings.data_dir / "js") in text
    assert any(token in text for token in tokens)
    nats = by_name(settings)["nats"]
    assert not any("TOKEN" in name or name.startswith("SIGHTMILL_") for name in nats.environment)
    assert nats.inherited == (3,)


def test_a_given_nats_is_used_and_none_started(settings: LaunchSettings) -> None:
    environment = USERS_OWN | {"SIGHTMILL_NATS_URL": "nats://far:4222", "SIGHTMILL_NATS_TOKEN": "given"}
    specs = by_name(
        replace(settings, environment=environment, nats_url="nats://far:4222", nats_token="given")  # noqa: S106  made up
    )
    assert "nats" not in specs
    assert specs["ingest"].environment["SIGHTMILL_NATS_URL"] == "nats://far:4222"
    assert specs["ingest"].environment["SIGHTMILL_NATS_TOKEN"] == "given"  # noqa: S105  made up


def test_without_envoy_the_gateway_is_the_address(
    settings: LaunchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "find_envoy", lambda _: None)
    made = build_suite(settings, 3)
    assert "envoy" not in {spec.name for spec in made.specs}
    assert made.addresses["page"] == "http://127.0.0.1:8081"
    assert "Envoy is not installed" in made.notes[0]


def test_a_program_that_is_not_there_is_named(settings: LaunchSettings) -> None:
    with pytest.raises(BinaryMissingError, match="SIGHTMILL_NATS_SERVER_BINARY: /no/such is not a program"):
        build_suite(replace(settings, nats_binary="/no/such"), 3)


def test_envoy_is_rendered_for_these_ports(settings: LaunchSettings) -> None:
    moved = settings.with_free_ports()
    envoy = by_name(moved)["envoy"]
    for name in ("gateway", "ingest", "analyzer", "captioner", "catalog"):
        assert envoy.prepare[envoy.prepare.index(f"--{name}") + 1] == moved.listens[name].reachable
    ports = [listen.port for listen in moved.listens.values()]
    assert len(set(ports)) == 6
