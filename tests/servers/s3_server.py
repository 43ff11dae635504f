"""A real S3 server (versitygw) on a free port, over a folder."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.servers.waiting import until

BINARY = Path(__file__).parents[2] / ".tools" / "bin" / "versitygw"


class S3Server:
    """One server with one bucket, ``blobs``. ``start`` after ``kill`` uses the same port again."""

    bucket = "blobs"

    def __init__(self, folder: Path) -> None:
        self.access_key_id = secrets.token_hex(8)
        self.secret_access_key = secrets.token_hex(16)
        self.port = 0
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts the server and waits until it takes connections."""
        (self._folder / "buckets" / self.bucket).mkdir(parents=True, exist_ok=True)
        self._process = self._spawn()
        await until(self._listens, "versitygw listens")

    def kill(self) -> None:
        """Ends the server as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        credentials = {"ROOT_ACCESS_KEY": self.access_key_id, "ROOT_SECRET_KEY": self.secret_access_key}
        command = [
            str(BINARY),
            "--quiet",
            "--port",
            f"127.0.0.1:{self.port}",
            "posix",
            f"{self._folder}/buckets",
        ]
        with (self._folder / "versitygw.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | credentials)

    def _listens(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self._folder / "versitygw.log").read_text()
        # The server does not say which port it was given for 0; the system knows.
        sockets = psutil.Process(self._process.pid).net_connections("tcp4")
        ports = [socket.laddr.port for socket in sockets if socket.status == psutil.CONN_LISTEN]
        self.port = ports[0] if ports else self.port
        return bool(ports)


@contextlib.asynccontextmanager
async def s3_server(folder: Path) -> AsyncIterator[S3Server]:
    """A server that runs while the context is open. Without the program a test is skipped, in CI it fails."""
    if not BINARY.exists():
        message = "No versitygw: run scripts/versitygw once; it builds the S3 server of the tests."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    server = S3Server(folder)
    try:
        await server.start()
        yield server
    finally:
        server.kill()
