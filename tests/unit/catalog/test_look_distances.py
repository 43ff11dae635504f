"""Distances of looks, against what they mean bit by bit and byte by byte."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.looks.look_distances import (
    NO_COPY,
    Looks,
    choose_like_colors,
    choose_nearest,
    count_bits,
    rate_pairs,
    sum_differences,
)
from tests.unit.catalog.looks import bits

HASH = st.integers(0, 2**64 - 1)
# Few values, so that distances are often equal or at the very limit.
SIGNATURE = st.binary(min_size=48, max_size=48) | st.sampled_from(
    [bytes(lab) * 16 for lab in ((0, 128, 128), (9, 128, 128), (255, 128, 128), (0, 140, 128), (0, 128, 150))]
)


def looks_of(rows: list[tuple[int, int, bytes]]) -> Looks:
    """Looks with the numbers from 1 on."""
    return Looks(
        np.arange(1, len(rows) + 1),
        np.arange(1, len(rows) + 1),
        np.array([row[0] for row in rows], np.uint64),
        np.array([row[1] for row in rows], np.uint64),
        np.frombuffer(b"".join(row[2] for row in rows), np.uint8).reshape(-1, 48).T.copy(),
    )


def difference(one: bytes, other: bytes) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


@settings(deadline=None)
@given(st.lists(SIGNATURE, min_size=1, max_size=40), SIGNATURE)
def test_colours_differ_by_the_sum_over_all_bytes(signatures: list[bytes], other: bytes) -> None:
    stored = looks_of([(0, 0, signature) for signature in signatures]).signatures
    found = sum_differences(stored, np.frombuffer(other, np.uint8))
    assert found.tolist() == [difference(signature, other) for signature in signatures]


def test_a_long_scan_is_exact_to_its_end() -> None:
    random = np.random.default_rng(3)
    signatures = random.integers(0, 256, (48, 50_001), dtype=np.uint8)
    other = random.integers(0, 256, 48, dtype=np.uint8)
    expected = np.abs(signatures.astype(np.int32) - other[:, np.newaxis]).sum(axis=0)
    assert np.array_equal(sum_differences(signatures, other), expected)


@settings(deadline=None)
@given(st.lists(HASH, min_size=1, max_size=60), HASH, st.integers(0, 64), st.integers(1, 20))
def test_the_nearest_come_by_distance_then_by_number(
    hashes: list[int], asked: int, farthest: int, most: int
) -> None:
    numbers = np.arange(1, len(hashes) + 1)[::-1].copy()
    numbers[0] = 0
    found = choose_nearest(count_bits(np.array(hashes, np.uint64), np.uint64(asked)), numbers, farthest, most)
    near = [((one ^ asked).bit_count(), int(number)) for one, number in zip(hashes, numbers, strict=True)]
    expected = sorted(entry for entry in near if entry[0] <= farthest and entry[1])[:most]
    assert [int(numbers[slot]) for slot in found] == [number for _, number in expected]


@settings(deadline=None)
@given(st.lists(SIGNATURE, min_size=1, max_size=60), SIGNATURE, st.integers(0, 32), st.integers(1, 20))
def test_like_colours_are_those_that_all_bytes_say(
    signatures: list[bytes], asked: bytes, farthest: int, most: int
) -> None:
    looks = looks_of([(0, 0, signature) for signature in signatures])
    found = choose_like_colors(looks, np.frombuffer(asked, np.uint8), farthest * 48, most)
    near = [(difference(signature, asked), number) for number, signature in enumerate(signatures, 1)]
    expected = sorted(entry for entry in near if entry[0] <= farthest * 48)[:most]
    assert [int(looks.numbers[slot]) for slot in found] == [number for _, number in expected]


@settings(deadline=None)
@given(st.integers(0, 64), st.integers(0, 64), SIGNATURE, SIGNATURE)
def test_a_copy_is_what_the_measured_rule_says(phash: int, dhash: int, one: bytes, other: bytes) -> None:
    looks = looks_of([(0, 0, one), (bits(phash), bits(dhash), other)])
    rate = int(rate_pairs(looks, np.array([0]), np.array([1]))[0])
    known = any(one) and any(other)
    like = known and difference(one, other) <= 8 * 48
    if phash <= 10:
        assert rate == phash
    elif min(phash, dhash) <= 14 and like:
        assert rate == max(11, min(phash, dhash))
    else:
        assert rate == NO_COPY


def test_a_free_slot_is_no_copy_of_anything() -> None:
    looks = looks_of([(1, 1, bytes(48)), (1, 1, bytes(48))])
    looks.numbers[1] = 0
    assert rate_pairs(looks, np.array([0, 1]), np.array([1, 0])).tolist() == [NO_COPY, NO_COPY]
