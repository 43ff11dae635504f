"""A real server that speaks MongoDB's protocol (SecantusDB on WiredTiger) on a free port of loopback."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from tests.servers.waiting import until

_START_TIMEOUT_S = 60.0


class MongoServer:
    """One server on one folder. ``start`` after ``kill`` uses the same port and the same data again."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.port = 0
        self.flags = flags
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    async def start(self) -> None:
        """Starts the server and waits until it takes connections."""
        self._process = self._spawn()
        await until(self._listens, "secantusd-py listens", _START_TIMEOUT_S)

    def kill(self) -> None:
        """Ends the server as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    async def suspend(self) -> None:
        """Leaves the server with its connections but without an answer, until ``resume``."""
        assert self._process
        suspended = psutil.Process(self._process.pid)
        suspended.suspend()
        # The signal takes its time; a call that is quick would still be answered.
        await until(lambda: suspended.status() == psutil.STATUS_STOPPED, "the server stands still")

    def resume(self) -> None:
        """The server goes on after ``suspend``."""
        assert self._process
        psutil.Process(self._process.pid).resume()

    def log(self) -> str:
        """What the server wrote."""
        return (self._folder / "mongo.log").read_text()

    def _spawn(self) -> subprocess.Popen[bytes]:
        program = Path(sys.executable).parent / "secantusd-py"
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        storage = ["--storage-path", str(self._folder / "mongo"), "--sync-on-commit"]
        with (self._folder / "mongo.log").open("ab") as log:
            command = [str(program), *address, *storage, *self.flags]
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)

    def _listens(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log()
        # The server does not say which port it was given for 0; the system knows.
        sockets = psutil.Process(self._process.pid).net_connections("tcp4")
        ports = [socket.laddr.port for socket in sockets if socket.status == psutil.CONN_LISTEN]
        self.port = ports[0] if ports else self.port
        return bool(ports)


@contextlib.asynccontextmanager
async def mongo_server(folder: Path, *flags: str) -> AsyncIterator[MongoServer]:
    """A server that runs while the context is open and keeps everything in ``folder``."""
    server = MongoServer(folder, *flags)
    try:
        await server.start()
        yield server
    finally:
        server.kill()
