"""A real process: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.servers.waiting import until

ROOT = Path(__file__).parents[3]
SECRET = "hunter2-nobody-may-see-this"  # noqa: S105  no real one
DEADLINE_S = 30.0


class Process:
    """``python -m services.ingest`` with nothing to talk to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, folder: Path, *arguments: str, **settings: str) -> Process:
        nowhere = {name: f"127.0.0.1:{free_port()}" for name in ("CATALOG_ADDRESS", "ANALYZER_ADDRESS")}
        ours = {
            "DATA_DIR": str(folder),
            "NATS_URL": f"nats://127.0.0.1:{free_port()}",
            "INGEST_LISTEN": "127.0.0.1:0",
            "STATUS_LISTEN": "127.0.0.1:0",
            "DRAIN_DELAY_S": "0",
        }
        variables = {f"SIGHTMILL_{name}": value for name, value in (nowhere | ours | settings).items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.ingest",
            *arguments,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def ready(self) -> dict[str, str]:
        """The addresses that the ready line tells."""
        assert self._process.stdout
        async with asyncio.timeout(DEADLINE_S):
            line = (await self._process.stdout.readline()).decode()
        match = re.fullmatch(r"READY ingest grpc=(127\.0\.0\.1:\d+) status=(127\.0\.0\.1:\d+)\n", line)
        assert match, line
        return {"grpc": match[1], "status": match[2]}

    async def log_has(self, text: str) -> None:
        """Returns when the log says so."""
        assert self._process.stderr
        async with asyncio.timeout(DEADLINE_S):
            while text not in (line := (await self._process.stderr.readline()).decode()):
                assert line, f"the log ended without {text!r}"

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> tuple[int, str, str]:
        """Exit status, output and log."""
        async with asyncio.timeout(DEADLINE_S):
            out, log = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, out.decode(), log.decode()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@asynccontextmanager
async def started(folder: Path, *arguments: str, **settings: str) -> AsyncIterator[Process]:
    process = await Process.start(folder, *arguments, **settings)
    try:
        yield process
    finally:
        await process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_wrong_settings_are_named_and_end_with_2(tmp_path: Path) -> None:
    async with started(tmp_path, MAX_CALLS=SECRET, BLOB_URL=f"ftp://{SECRET}") as process:
        code, out, log = await process.ended()
    assert (code, out) == (2, "")
    assert log.startswith("ingest: wrong settings\nSIGHTMILL_BLOB_URL: ")
    assert "SIGHTMILL_MAX_CALLS: Input should be a valid integer" in log
    assert "Traceback" not in log
    assert SECRET not in log


async def test_a_data_folder_that_is_none_is_named_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with started(tmp_path, DATA_DIR=str(tmp_path / "file")) as process:
        code, _, log = await process.ended()
    assert code == 2
    assert log.startswith("ingest: cannot start: ")
    assert str(tmp_path / "file") in log
    assert "Traceback" not in log


@pytest.mark.parametrize("variable", ["INGEST_LISTEN", "STATUS_LISTEN"])
async def test_an_address_in_use_is_named_and_ends_with_2(tmp_path: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with started(tmp_path, **{variable: address}) as process:
            code, out, log = await process.ended()
    assert (code, out) == (2, "")
    assert f"ingest: {address} is in use" in log
    assert "Traceback" not in log


async def test_print_settings_shows_all_of_them_without_secrets(tmp_path: Path) -> None:
    async with started(
        tmp_path, "--print-settings", "--role", "api", NATS_TOKEN=SECRET, MAX_CALLS="7"
    ) as process:
        code, out, _ = await process.ended()
    lines = dict(line.split("=", 1) for line in out.splitlines())
    assert code == 0
    assert (lines["SIGHTMILL_MAX_CALLS"], lines["SIGHTMILL_INGEST_ROLE"]) == ("7", "api")
    assert lines["SIGHTMILL_NATS_TOKEN"] == "*" * 10
    assert SECRET not in out


async def test_an_unknown_argument_ends_with_2(tmp_path: Path) -> None:
    async with started(tmp_path, "--role", "cook") as process:
        code, _, log = await process.ended()
    assert code == 2
    assert "invalid choice: 'cook'" in log


async def test_it_waits_for_its_neighbours_and_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    async with started(tmp_path) as process:
        addresses = await process.ready()
        assert addresses["grpc"] != addresses["status"]
        process.send(signal.SIGTERM)
        code, out, log = await process.ended()
    assert (code, out) == (0, ""), log
    lines = [json.loads(line) for line in log.splitlines()]
    assert all(line.keys() >= {"event", "level", "timestamp", "service"} for line in lines)
    assert {line["service"] for line in lines} == {"ingest"}
    assert lines[-1]["event"] == "stopped"


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with started(tmp_path, DRAIN_DELAY_S="60") as process:
        await process.ready()
        process.send(signal.SIGINT)
        process.send(signal.SIGTERM)
        code, _, _ = await process.ended()
    assert code == 1


async def test_two_processes_do_not_share_a_port(tmp_path: Path) -> None:
    async with started(tmp_path) as first:
        address = (await first.ready())["grpc"]
        async with started(tmp_path, INGEST_LISTEN=address) as second:
            assert (await second.ended())[0] == 2
        await until(lambda: first._process.returncode is None, "the first one lives on")
