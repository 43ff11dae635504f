"""Makes damaged files out of good ones, the same ones for the same random numbers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random

from tests.unit.ingest.pictures import HEIGHT, WIDTH, png_chunk

Mutation = Callable[[Random, bytearray], None]
_NUMBERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
_LAYOUTS = (">H", "<H", ">I", "<I")


def mutate(random: Random, seed: bytes, donor: bytes) -> bytes:
    """``seed`` after some changes; pieces of ``donor`` may come in."""
    data = bytearray(seed)
    for _ in range(random.randint(1, 6)):
        if not data:
            break
        if random.random() < 0.1:
            _splice(random, data, donor)
        else:
            random.choice(_MUTATIONS)(random, data)
    if data.startswith(b"\x89PNG") and random.random() < 0.8:
        return _repair_png(bytes(data))
    return bytes(data)


def _flip_bit(random: Random, data: bytearray) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _flip_bit_of_the_head(random: Random, data: bytearray) -> None:
    data[random.randrange(min(len(data), 200))] ^= 1 << random.randrange(8)


def _set_bytes(random: Random, data: bytearray) -> None:
    at = random.randrange(len(data))
    data[at : at + random.randint(1, 8)] = random.randbytes(random.randint(1, 8))


def _set_number(random: Random, data: bytearray) -> None:
    """Lengths, counts and offsets stand anywhere, in either order of bytes."""
    layout = random.choice(_LAYOUTS)
    size = struct.calcsize(layout)
    at = random.randrange(len(data))
    data[at : at + size] = struct.pack(layout, random.choice(_NUMBERS) & (256**size - 1))


def _set_dimension(random: Random, data: bytearray) -> None:
    """Another number where the width or height seems to stand."""
    layout = random.choice(_LAYOUTS)
    at = data.find(struct.pack(layout, random.choice((WIDTH, HEIGHT))), random.randrange(len(data)) // 2)
    if at >= 0:
        number = random.choice((0, 1, 7_000, 16_383, 30_000, 65_535, 2**31 - 1))
        size = struct.calcsize(layout)
        data[at : at + size] = struct.pack(layout, number & (256**size - 1))


def _cut(random: Random, data: bytearray) -> None:
    del data[random.randrange(len(data)) :]


def _drop(random: Random, data: bytearray) -> None:
    at = random.randrange(len(data))
    del data[at : at + random.randint(1, 64)]


def _repeat(random: Random, data: bytearray) -> None:
    at, size = random.randrange(len(data)), random.randint(1, 200)
    data[at:at] = data[at : at + size] * random.choice((1, 2, 50))


def _splice(random: Random, data: bytearray, donor: bytes) -> None:
    at, start = random.randrange(len(data)), random.randrange(len(donor))
    data[at : at + random.randint(0, 200)] = donor[start : start + random.randint(1, 400)]


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit,
    _flip_bit_of_the_head,
    _set_bytes,
    _set_number,
    _set_dimension,
    _cut,
    _drop,
    _repeat,
)


def _repair_png(data: bytes) -> bytes:
    """Checksums that fit: otherwise no decoder looks behind them."""
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        body = data[at + 8 : at + 8 + size]
        if len(body) < size:
            break
        parts.append(png_chunk(data[at + 4 : at + 8], body))
        at += 12 + size
    return b"".join(parts) + data[at:]


def checksum(data: bytes) -> str:
    """A short name for a file."""
    return f"{zlib.crc32(data):08x}"
