"""Groups of duplicates: images that pairs of looks or the same bytes connect, each with one to keep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.catalog.looks.connected import Groups, connect
from services.catalog.looks.duplicate_keepers import choose_keeper, tied_on_pixels
from services.catalog.looks.duplicate_pairs import DuplicatePairs
from services.catalog.looks.look_distances import Looks, Numbers, rate_pairs
from services.catalog.looks.look_index import LookIndex
from services.catalog.model import ImageRecord
from services.catalog.store import CatalogStore, LookStore
from services.runtime.errors import NotFoundError
from sightmill.v1 import analyzer_pb2

MAX_DISTANCE = 14
MOST_MEMBERS = 1_000
# A page ends early beyond this, with a place to go on from: its images are read and sent.
_MOST_IMAGES = 2_000
_MOST_LOOKED_AT = 5_000
_PAGE = 1_000
_MOST_KEPT = 4
# Groups are found anew when what they were found in is older than so many times the time that it took.
_REST = 10


@dataclass(frozen=True, slots=True)
class DuplicatesQuery:
    """Groups of images within ``max_distance`` (0 to 14; 0 for the same bytes), ``size`` of them.

    ``below`` is the highest number of the last group shown, or None.
    """

    max_distance: int
    size: int
    below: int | None
    bound_to: bytes


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """At least two images by number, the one to keep, and why, for people."""

    images: tuple[ImageRecord, ...]
    keeper: ImageRecord
    reason: str


@dataclass(frozen=True, slots=True)
class DuplicatesPage:
    """Groups, those with the newest member first; ``next`` is None on the last page.

    Of ``comparable`` images that have a look ``compared`` were compared with all before them.
    """

    groups: tuple[DuplicateGroup, ...]
    next: int | None
    compared: int
    comparable: int


@dataclass(frozen=True, slots=True)
class _Found:
    """Groups, and the sequence up to which all looks were compared when they were found."""

    groups: Groups
    through: int
    fresh_until_s: float


class DuplicateGroups:
    """Finds groups in the pairs and the repeated bytes, and keeps them for a while: up to ten times as long
    as it took to find them, so that small catalogs are always up to date and large ones cost a tenth of a
    core at most. What is gone meanwhile is left out of every answer."""

    def __init__(
        self, catalog: CatalogStore, looks: LookStore, index: LookIndex, pairs: DuplicatePairs
    ) -> None:
        self._catalog = catalog
        self._looks = looks
        self._index = index
        self._pairs = pairs
        self._finding = asyncio.Lock()
        self._found: dict[int, _Found] = {}

    async def list_groups(self, query: DuplicatesQuery) -> DuplicatesPage:
        """A page of groups; it may be short, even empty, with a ``next``.

        Raises what :meth:`LookIndex.refresh` raises, unless the same bytes are asked for.
        """
        found = await self._newest(query.max_distance)
        groups = found.groups
        place = 0 if query.below is None else groups.place_below(query.below)
        shown: list[DuplicateGroup] = []
        images = looked_at = 0
        while place < len(groups) and len(shown) < query.size:
            if images >= _MOST_IMAGES or looked_at >= _MOST_LOOKED_AT:
                break
            batch = _next_batch(groups, place, query.size - len(shown))
            place += len(batch)
            looked_at += sum(map(len, batch))
            some = await self._read_groups(batch)
            images += sum(len(group.images) for group in some)
            shown.extend(some)
        return DuplicatesPage(
            tuple(shown),
            int(groups.highest[place - 1]) if place < len(groups) else None,
            self._index.count_compared(found.through),
            self._index.count,
        )

    async def _newest(self, max_distance: int) -> _Found:
        async with self._finding:
            kept = self._found.pop(max_distance, None)
            if kept is None or time.monotonic() > kept.fresh_until_s:
                kept = await self._find(max_distance)
            while len(self._found) >= _MOST_KEPT:
                del self._found[next(iter(self._found))]
            self._found[max_distance] = kept
            return kept

    async def _find(self, max_distance: int) -> _Found:
        started_s = time.monotonic()
        ones, others = await self._read_repeated()
        if max_distance:
            await self._index.refresh()
            through = await self._pairs.refresh()
            groups = await asyncio.to_thread(
                _connect_near, self._index.looks, self._pairs.slots, max_distance, ones, others
            )
        else:
            through = await self._looks.compared_through()
            groups = await asyncio.to_thread(connect, ones, others)
        ended_s = time.monotonic()
        return _Found(groups, through, ended_s + _REST * (ended_s - started_s))

    async def _read_repeated(self) -> tuple[Numbers, Numbers]:
        """Images with the same bytes, as pairs of the first and each other one."""
        ones: list[Numbers] = []
        others: list[Numbers] = []
        after = ""
        while repeated := await self._looks.list_repeated(_PAGE, after):
            after = repeated[-1][0]
            for _, numbers in repeated:
                if len(numbers) < 2:  # the others went in this moment
                    continue
                others.append(np.array(numbers[1:], np.int64))
                ones.append(np.full(len(numbers) - 1, numbers[0], np.int64))
        if not ones:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate(ones), np.concatenate(others)

    async def _read_groups(self, batch: Sequence[list[int]]) -> list[DuplicateGroup]:
        """Those of which two images still exist."""
        position = self._index.position
        numbers = [number for members in batch for number in members]
        records = {record.number: record for record in await self._catalog.get_images(numbers)}
        self._index.forget([number for number in numbers if number not in records], position)
        groups = []
        for members in batch:
            images = tuple(records[number] for number in members if number in records)
            if len(images) > 1:
                keeper, reason = choose_keeper(images, await self._read_qualities(images))
                groups.append(DuplicateGroup(images, keeper, reason))
        return groups

    async def _read_qualities(self, images: Sequence[ImageRecord]) -> dict[str, float]:
        """Quality scores by digest, of those images that it can matter for."""
        tied = {image.image.sha256: image for image in tied_on_pixels(images)}
        if len(tied) < 2:
            return {}
        qualities = {}
        for digest, image in tied.items():
            try:
                record = await self._catalog.get_image(image.uuid, with_results=True)
            except NotFoundError:
                continue
            insights = analyzer_pb2.Insights.FromString(record.insights or b"")
            if insights.HasField("luminance"):
                qualities[digest] = insights.luminance.quality_score
        return qualities


def _next_batch(groups: Groups, place: int, most: int) -> list[list[int]]:
    """Groups from a place, as many as one read of images takes; of large ones the newest members."""
    batch: list[list[int]] = []
    count = 0
    while place < len(groups) and len(batch) < most:
        members = groups[place][-MOST_MEMBERS:]
        count += len(members)
        if batch and count > _PAGE:
            break
        batch.append(members)
        place += 1
    return batch


def _connect_near(
    looks: Looks, pairs: npt.NDArray[np.int32], max_distance: int, ones: Numbers, others: Numbers
) -> Groups:
    # Rated anew: images may have been analysed again, or be gone, since the pair was found.
    near = pairs[:, rate_pairs(looks, pairs[0], pairs[1]) <= max_distance]
    return connect(
        np.concatenate((ones, looks.numbers[near[0]])), np.concatenate((others, looks.numbers[near[1]]))
    )
