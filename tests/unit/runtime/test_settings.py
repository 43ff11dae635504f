"""Settings: where they come from, what is refused, and what is never shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from gateway.settings import GatewaySettings
from services.ingest.settings import IngestSettings
from services.runtime.settings import RuntimeSettings, explain, show

HIDDEN = "hunter2-nobody-may-see-this"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of the machine, and no .env of the checkout."""
    monkeypatch.chdir(tmp_path)
    for name in (*IngestSettings.model_fields, *GatewaySettings.model_fields):
        monkeypatch.delenv(f"SIGHTMILL_{name.upper()}", raising=False)
    monkeypatch.delenv("MAX_FILE_SIZE", raising=False)


def ingest(**values: Any) -> IngestSettings:
    return IngestSettings(**values)


def gateway(**values: Any) -> GatewaySettings:
    return GatewaySettings(**values)


def runtime(**values: Any) -> RuntimeSettings:
    return RuntimeSettings(**values)


def refusal(settings: Callable[[], RuntimeSettings]) -> str:
    with pytest.raises(ValidationError) as caught:
        settings()
    assert HIDDEN not in str(caught.value)
    return explain(caught.value)


def test_without_any_variable_everything_has_a_default() -> None:
    settings = ingest()
    assert settings.catalog_address == "127.0.0.1:50054"
    assert settings.ingest_max_bytes == 64 * 1024 * 1024
    assert settings.blob_location == (Path.cwd() / ".sightmill" / "blobs").as_uri()


def test_a_field_is_its_name_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTMILL_CATALOG_ADDRESS", "catalog:1")
    assert runtime().catalog_address == "catalog:1"


def test_code_before_environment_before_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = ["SIGHTMILL_LOG_LEVEL=debug", "SIGHTMILL_MAX_CALLS=2", "SIGHTMILL_NATS_REPLICAS=5", "OTHER=1"]
    (tmp_path / ".env").write_text("\n".join(lines))
    monkeypatch.setenv("SIGHTMILL_MAX_CALLS", "3")
    monkeypatch.setenv("SIGHTMILL_LOG_LEVEL", "warning")
    settings = runtime(log_level="error")
    assert (settings.log_level, settings.max_calls, settings.nats_replicas) == ("error", 3, 5)


@pytest.mark.parametrize("name", ["SIGHTMILL_GATEWAY_PEEK_MAX_BYTES", "MAX_FILE_SIZE"])
def test_a_field_with_several_names_is_read_under_each(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1000")
    assert gateway().gateway_peek_max_bytes == 1_000


def test_a_field_with_several_names_is_given_by_its_own_in_code() -> None:
    assert gateway(gateway_peek_max_bytes=1_000).gateway_peek_max_bytes == 1_000


def test_our_own_name_wins_over_a_borrowed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_FILE_SIZE", "1")
    monkeypatch.setenv("SIGHTMILL_GATEWAY_PEEK_MAX_BYTES", "2")
    assert gateway().gateway_peek_max_bytes == 2


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("SIGHTMILL_MAX_CALLS", HIDDEN, "SIGHTMILL_MAX_CALLS: Input should be a valid integer"),
        ("SIGHTMILL_MAX_CALLS", "0", "SIGHTMILL_MAX_CALLS: Input should be greater than or equal to 1"),
        ("SIGHTMILL_LOG_LEVEL", HIDDEN, "SIGHTMILL_LOG_LEVEL: Input should be 'debug'"),
        ("SIGHTMILL_STATUS_LISTEN", HIDDEN, "SIGHTMILL_STATUS_LISTEN: String should match"),
        ("SIGHTMILL_STATUS_LISTEN", "h:65536", "SIGHTMILL_STATUS_LISTEN: Value error, a port is 0 to 65535"),
        ("SIGHTMILL_BLOB_URL", f"ftp://{HIDDEN}@host", "SIGHTMILL_BLOB_URL: String should match"),
        ("SIGHTMILL_INGEST_MAX_BYTES", HIDDEN, "SIGHTMILL_INGEST_MAX_BYTES: Input should be a valid int"),
        ("MAX_FILE_SIZE", HIDDEN, "SIGHTMILL_GATEWAY_PEEK_MAX_BYTES: Input should be a valid integer"),
        ("SIGHTMILL_INGEST_ROLE", HIDDEN, "SIGHTMILL_INGEST_ROLE: Input should be 'api', 'worker' or 'all'"),
    ],
)
def test_a_wrong_value_names_variable_and_rule_but_never_the_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str
) -> None:
    monkeypatch.setenv(variable, value)
    told = refusal(gateway if variable == "MAX_FILE_SIZE" else ingest)
    assert told.startswith(named)
    assert told.endswith("(docs/operations.md, settings)")
    assert HIDDEN not in told


def test_every_wrong_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTMILL_MAX_CALLS", "x")
    monkeypatch.setenv("SIGHTMILL_DRAIN_DELAY_S", "-1")
    assert len(refusal(ingest).splitlines()) == 2


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        runtime().max_calls = 5


def test_show_lists_all_and_hides_secrets() -> None:
    settings = ingest(
        nats_token=SecretStr(HIDDEN),
        blob_secret_access_key=SecretStr(HIDDEN),
        nats_url=f"nats://user:{HIDDEN}@a:1,nats://{HIDDEN}@b:2",
    )
    lines = dict(line.split("=", 1) for line in show(settings).splitlines())
    assert lines.keys() == {f"SIGHTMILL_{name.upper()}" for name in IngestSettings.model_fields}
    assert HIDDEN not in "".join(lines.values())
    assert lines["SIGHTMILL_NATS_URL"] == "nats://***@a:1,nats://***@b:2"
    assert lines["SIGHTMILL_NATS_TOKEN"] == "*" * 10
    assert lines["SIGHTMILL_BLOB_ACCESS_KEY_ID"] == "", "an empty secret is shown as missing"
    assert lines["SIGHTMILL_INGEST_MAX_PIXELS"] == "50000000"


def test_a_blob_url_wins_over_the_data_folder(tmp_path: Path) -> None:
    assert runtime(blob_url="s3://bucket").blob_location == "s3://bucket"
    assert runtime(data_dir=tmp_path).blob_location == (tmp_path / "blobs").as_uri()
