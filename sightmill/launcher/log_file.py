"""A log file that cannot fill the disk."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

KEPT = 2


class LogFile:
    """Appends bytes; past ``max_bytes`` the file becomes ``NAME.1``, that one ``NAME.2``; the oldest goes."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._size_bytes = 0

    def write(self, data: bytes) -> None:
        """Appends. A full disk loses log lines, never the process that writes them."""
        try:
            file = self._open()
            if self._size_bytes and self._size_bytes + len(data) > self._max_bytes:
                file = self._rotate()
            file.write(data)
            file.flush()
            self._size_bytes += len(data)
        except OSError:
            self.close()

    def close(self) -> None:
        """Closes the file; a later write opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
            self._size_bytes = self._file.tell()
        return self._file

    def _rotate(self) -> BinaryIO:
        self.close()
        for number in range(KEPT, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            newer = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
            if newer.exists():
                newer.replace(older)
        return self._open()
