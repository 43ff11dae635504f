"""What a process prints: kept in its log file, its last lines at hand, its READY line understood."""

from __future__ import annotations

import asyncio
from collections import deque

from sightmill.launcher.log_file import LogFile

_TAIL_LINES = 30
_MAX_LINE_BYTES = 4_096
_READ_BYTES = 65_536


class Output:
    """Follows one process's standard output and error, one start after the other."""

    def __init__(self, log: LogFile) -> None:
        self.announced: dict[str, str] = {}
        self._log = log
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._partial = b""

    @property
    def tail(self) -> list[str]:
        """The last lines of this start."""
        return list(self._tail)

    def begin(self) -> None:
        """Forgets what the process said before it was started again."""
        self.announced.clear()
        self._tail.clear()
        self._partial = b""

    def note(self, text: str) -> None:
        """Adds a line of the launcher's own."""
        self.take(f"{text}\n".encode())

    async def follow(self, stream: asyncio.StreamReader) -> None:
        """Reads until the process and all that share its output have closed it."""
        while data := await stream.read(_READ_BYTES):
            self.take(data)

    def take(self, data: bytes) -> None:
        """Keeps a piece of output, which may end in the middle of a line."""
        self._log.write(data)
        *lines, rest = (self._partial + data).split(b"\n")
        self._partial = rest[:_MAX_LINE_BYTES]
        for line in lines:
            self._take_line(line[:_MAX_LINE_BYTES].decode("utf-8", "replace").rstrip())

    def close(self) -> None:
        """Closes the log file."""
        self._log.close()

    def _take_line(self, line: str) -> None:
        self._tail.append(line)
        if line.startswith("READY "):
            pairs = (word.partition("=") for word in line.split()[2:])
            self.announced.update({name: value for name, separator, value in pairs if separator})
