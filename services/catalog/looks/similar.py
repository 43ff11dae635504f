"""Images that look like a given one, nearest first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

import numpy as np

from services.catalog.looks.look_distances import (
    SIGNATURE_BYTES,
    Distances,
    Looks,
    Numbers,
    choose_like_colors,
    choose_nearest,
    count_bits,
    sum_differences,
)
from services.catalog.looks.look_index import LookIndex, signature_of
from services.catalog.model import ImageRecord, Look, Position
from services.catalog.names import ImageKey
from services.catalog.store import CatalogStore, LookStore
from services.runtime.errors import FailedPreconditionError, Reason

Measure = Literal["look", "color"]
MOST_SIMILAR = 10_000
# One more, because the image itself is among them.
_MOST = MOST_SIMILAR + 1
_MOST_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """What to find: images within ``max_distance`` (0 to 32), ``size`` of them after a place.

    ``after`` is the distance (of colours: 48 times as much) and the number of the last one shown.
    """

    key: ImageKey
    measure: Measure
    max_distance: int
    size: int
    after: Position | None
    bound_to: bytes


@dataclass(frozen=True, slots=True)
class SimilarImage:
    """An image, the bits of pHash that differ (0 to 64), the mean difference of colours (0 to 255)."""

    image: ImageRecord
    distance: int
    color_distance: float


@dataclass(frozen=True, slots=True)
class SimilarPage:
    """A page, nearest first; ``next`` is None on the last."""

    images: tuple[SimilarImage, ...]
    next: Position | None


@dataclass(frozen=True, slots=True)
class _Near:
    """Candidates in order: what they are ordered by, their numbers, bits of pHash, 48 times the colours."""

    ranks: Distances
    numbers: Numbers
    bits: Distances
    differences: Distances

    def place_of(self, candidate: int) -> Position:
        return int(self.ranks[candidate]), int(self.numbers[candidate])


async def find_similar(
    catalog: CatalogStore, looks: LookStore, index: LookIndex, query: SimilarQuery
) -> SimilarPage:
    """A page of the ``MOST_SIMILAR`` nearest images, without the image itself.

    Raises ``NotFoundError(IMAGE_NOT_FOUND)``, ``FailedPreconditionError(WRONG_STATE)`` when the image has no
    hashes (or no colours to go by), and what :meth:`LookIndex.refresh` raises.
    """
    image = await catalog.get_image(query.key, with_results=False)
    row = await looks.look_of(image.number)
    if row is None:
        raise _no_look("has no hashes to compare, because it is not analysed or was analysed without them")
    if query.measure == "color" and not any(signature_of(row.look.signature)):
        raise _no_look("has no colour signature, because an older analyzer looked at it")
    await index.refresh()
    position = index.position
    found = await asyncio.to_thread(_search, index.looks, row.look, query, image.number)
    return await _read_page(catalog, index, found, query.size, position)


def _search(looks: Looks, look: Look, query: SimilarQuery, itself: int) -> _Near:
    """What comes after the last page."""
    phash = np.uint64(look.phash)
    signature = np.frombuffer(signature_of(look.signature), np.uint8)
    if query.measure == "look":
        found = choose_nearest(count_bits(looks.phashes, phash), looks.numbers, query.max_distance, _MOST)
    else:
        found = choose_like_colors(looks, signature, query.max_distance * SIGNATURE_BYTES, _MOST)
    slots = found[looks.numbers[found] != itself][:MOST_SIMILAR]
    bits = count_bits(looks.phashes[slots], phash)
    differences = sum_differences(looks.signatures[:, slots], signature)
    ranks: Distances = bits if query.measure == "look" else differences
    numbers = looks.numbers[slots]
    rank, number = query.after or (-1, 0)
    later = (ranks > rank) | ((ranks == rank) & (numbers > number))
    return _Near(ranks[later], numbers[later], bits[later], differences[later])


async def _read_page(
    catalog: CatalogStore, index: LookIndex, near: _Near, size: int, position: int
) -> SimilarPage:
    """The first that still exist; those that are gone are made good from what follows."""
    images: list[SimilarImage] = []
    looked = 0
    while looked < len(near.numbers) and len(images) < size:
        some = range(looked, min(looked + _MOST_AT_ONCE, looked + size - len(images), len(near.numbers)))
        looked = some.stop
        numbers = near.numbers[some.start : some.stop].tolist()
        records = {record.number: record for record in await catalog.get_images(numbers)}
        index.forget([number for number in numbers if number not in records], position)
        images.extend(
            SimilarImage(
                records[number],
                int(near.bits[candidate]),
                float(near.differences[candidate]) / SIGNATURE_BYTES,
            )
            for candidate, number in zip(some, numbers, strict=True)
            if number in records
        )
    return SimilarPage(tuple(images), near.place_of(looked - 1) if looked < len(near.numbers) else None)


def _no_look(what: str) -> FailedPreconditionError:
    return FailedPreconditionError(
        Reason.WRONG_STATE, f"The image {what}; analyse it again, then ask again.", state="no look"
    )
