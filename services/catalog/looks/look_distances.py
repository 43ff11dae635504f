"""How far looks are apart: Hamming distances of hashes, differences of colours, and what counts as a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Slots = npt.NDArray[np.intp]
Distances = npt.NDArray[np.integer[Any]]

SIGNATURE_BYTES = 48
# Measured in docs/quality.md: within 10 bits of pHash is a copy; what is within 14 bits of either hash needs
# a second witness, colours that differ by at most 8 on average.
SURE_BITS = 10
LIKELY_BITS = 14
LIKE_COLORS = 8
NO_COPY = 255
_LIKE_SUM = LIKE_COLORS * SIGNATURE_BYTES
# Small enough that what a scan works on stays in the second-level cache.
_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class Looks:
    """Looks by slot, all of one length n. Free slots have the number 0.

    ``signatures`` has the shape (48, n): scans go through one byte of all images at a time. A signature of
    zeros means that there is none: no colour has an a of -128.
    """

    numbers: Numbers
    sequences: Numbers
    phashes: Hashes
    dhashes: Hashes
    signatures: Bytes


def count_bits(hashes: Hashes, other: Hashes | np.uint64) -> Bytes:
    """Bits that differ, 0 to 64."""
    bits: Bytes = np.bitwise_count(hashes ^ other)
    return bits


def sum_differences(signatures: Bytes, other: Bytes) -> npt.NDArray[np.int16]:
    """48 times the mean absolute difference of signatures (48, n) to another (48,), or one each (48, n)."""
    count = signatures.shape[1]
    sums = np.zeros(count, np.int16)
    room = np.empty(min(count, _CHUNK), np.int16)
    for start in range(0, count, _CHUNK):
        part = sums[start : start + _CHUNK]
        plane = room[: len(part)]
        for row, value in zip(signatures, other.astype(np.int16), strict=True):
            np.copyto(plane, row[start : start + _CHUNK])
            np.subtract(plane, value if other.ndim == 1 else value[start : start + _CHUNK], out=plane)
            np.add(part, np.abs(plane, out=plane), out=part)
    return sums


def choose_nearest(distances: Distances, numbers: Numbers, farthest: int, most: int) -> Slots:
    """Slots within a distance, nearest first and then by number, at most ``most``; free slots left out."""
    near = np.flatnonzero((distances <= farthest) & (numbers > 0))
    # Distances stand in the high bits, so that one number orders both.
    ranks = (distances[near].astype(np.int64) << 48) | numbers[near]
    if len(near) > most:
        chosen = np.argpartition(ranks, most)[:most]
        near, ranks = near[chosen], ranks[chosen]
    return near[np.argsort(ranks)]


def choose_like_colors(looks: Looks, signature: Bytes, farthest: int, most: int) -> Slots:
    """As :func:`choose_nearest`, by 48 times the mean difference of colours from a signature (48,)."""
    # How light the cells are tells most pictures apart, and is a third of the work.
    sums = sum_differences(looks.signatures[::3], signature[::3])
    near = np.flatnonzero(sums <= farthest)
    if 4 * len(near) < len(sums):
        sums = sum_differences(looks.signatures[:, near], signature)
        return near[choose_nearest(sums, looks.numbers[near], farthest, most)]
    for channel in (1, 2):
        sums += sum_differences(looks.signatures[channel::3], signature[channel::3])
    return choose_nearest(sums, looks.numbers, farthest, most)


def rate_pairs(looks: Looks, ones: Slots, others: Slots) -> Bytes:
    """How sure it is that images are copies: the bits that they are apart, ``NO_COPY`` for what is none.

    0 to 10 are bits of pHash. 11 to 14 are those of the nearer of both hashes (11 at least), where the
    colours are alike.
    """
    bits = count_bits(looks.phashes[ones], looks.phashes[others])
    nearer = np.minimum(bits, count_bits(looks.dhashes[ones], looks.dhashes[others]))
    rates = np.where(bits <= SURE_BITS, bits, NO_COPY).astype(np.uint8)
    unsure = np.flatnonzero((bits > SURE_BITS) & (nearer <= LIKELY_BITS))
    alike = unsure[_alike(looks.signatures[:, ones[unsure]], looks.signatures[:, others[unsure]])]
    rates[alike] = np.maximum(nearer[alike], SURE_BITS + 1)
    rates[(looks.numbers[ones] == 0) | (looks.numbers[others] == 0)] = NO_COPY
    return rates


def _alike(ones: Bytes, others: Bytes) -> npt.NDArray[np.bool_]:
    known = np.asarray(ones.any(axis=0) & others.any(axis=0))
    return known & (sum_differences(ones, others) <= _LIKE_SUM)
