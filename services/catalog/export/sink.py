"""Where writers of files write to that are sent while they are made."""

from __future__ import annotations


class Sink:
    """A file that cannot be rewound; ``take`` gives what was written since, and empties it."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes) -> int:
        """Keeps the data until it is taken."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """What is left can still be taken."""

    def take(self) -> bytes:
        """Everything since the last time."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data
