"""Messages between a process and its child: pickles over a stream socket, large arrays beside the pickle.

Buffers travel out of band (pickle protocol 5): an array of 200 MB is copied neither into a pickle nor out of
one. Shared memory would save the copy through the kernel, but a child that shrinks it takes its parent down.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Callable, Sequence

Checkpoint = Callable[[], None]
_COUNT = struct.Struct("!I")
_MAX_PARTS = 1_000
_CHUNK_BYTES = 1 << 20


class WireError(Exception):
    """The other side is gone, or says what it never would."""


def pack(value: object) -> list[memoryview]:
    """A value as parts: its pickle, then its buffers."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [memoryview(head), *(buffer.raw() for buffer in buffers)]


def unpack(parts: Sequence[bytearray]) -> object:
    """The value that was packed; both ends run our code."""
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301


def send(stream: socket.socket, parts: Sequence[memoryview], checkpoint: Checkpoint) -> None:
    """Sends one value; ``checkpoint`` is called before each wait of the socket's timeout, and may raise."""
    sizes = struct.pack(f"!{len(parts)}Q", *(part.nbytes for part in parts))
    for part in (memoryview(_COUNT.pack(len(parts)) + sizes), *parts):
        _move(stream.send, part, checkpoint)


def receive(stream: socket.socket, checkpoint: Checkpoint, max_bytes: int) -> list[bytearray]:
    """Receives one value of at most ``max_bytes``. Raises WireError."""

    def read(size_bytes: int) -> bytearray:
        part = bytearray(size_bytes)
        _move(stream.recv_into, memoryview(part), checkpoint)
        return part

    (count,) = _COUNT.unpack(read(_COUNT.size))
    if not 1 <= count <= _MAX_PARTS:
        raise WireError(f"{count} parts")
    sizes = struct.unpack(f"!{count}Q", read(8 * count))
    if sum(sizes) > max_bytes:
        raise WireError(f"{sum(sizes)} bytes, at most {max_bytes} are taken")
    return [read(size) for size in sizes]


def _move(step: Callable[[memoryview], int], rest: memoryview, checkpoint: Checkpoint) -> None:
    while rest:
        checkpoint()
        try:
            moved = step(rest[:_CHUNK_BYTES])
        except TimeoutError:
            continue
        except OSError as error:
            raise WireError("the other side is gone") from error
        if not moved:
            raise WireError("the other side is gone")
        rest = rest[moved:]
