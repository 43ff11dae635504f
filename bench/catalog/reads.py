"""How long the store of a large catalog takes to answer, asked through its port as the service asks it."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import numpy as np

from bench.catalog.data import word
from bench.figures import Figure, Figures
from services.catalog.conditions import EVERYTHING
from services.catalog.looks.look_index import LookIndex
from services.catalog.looks.similar import Measure, SimilarQuery, find_similar
from services.catalog.model import ImageQuery, PageOrder
from services.catalog.requests.query_conditions import parse_conditions
from services.catalog.requests.search_words import parse_search_words
from services.catalog.sqlite.database import SqliteOptions
from services.catalog.stores import Stores, open_sqlite_stores
from sightmill.v1 import catalog_pb2

_POINTS, _PAGES, _SEARCHES, _SIMILAR, _FACETS = 3_000, 300, 300, 200, 300
PAGES_A_FILTER = 30
PAGE = 50
# What people filter by: rare and common values, numbers, several at once, and what nothing meets.
FILTERS = (
    "state = PROCESSED",
    "format = HEIC",
    f"tag = {word(0)}",
    f"tag = {word(3_000)}",
    f"tag = {word(5)} AND scene = NATURE",
    f"tag = {word(5)} AND tag = {word(9)} AND width > 1000",
    'camera = "Camera 3"',
    'camera = "Camera 30" AND blur_level = HIGH',
    "provider = mistral AND has_text = true",
    "quality_score > 75.5",
    "face_count >= 5 AND size_bytes > 5000000",
    "size_bytes > 900000000",
    'labels.album = "album-7"',
    'color = "#1e90ff"',
    'color = "#1e90ff" AND scene = NATURE AND has_text = false',
    "display_name : 0004242",
    f"NOT tag = {word(0)} AND blur_level = LOW",
    f"(tag = {word(40)} OR tag = {word(700)}) AND format = PNG",
    'create_time > "2100-01-01T00:00:00Z"',
)
Times = list[float]


def run(database: Path, images: int) -> Figures:
    """One call after the other, in milliseconds."""
    return asyncio.run(_run(database, images))


def search_text(chance: random.Random) -> str:
    """One to three words, frequent and rare, a phrase, or a prefix."""
    first, second, third = (word(int(20_000 ** chance.random()) - 1) for _ in range(3))
    kinds = (first, f"{first} {second}", f"{first} {second} {third}", f'"{first} {second}"', f"{first[:4]}*")
    return chance.choice(kinds)


def p99(times: Times) -> float:
    """The time that one call in a hundred exceeds."""
    return float(np.percentile(times, 99))


async def _run(database: Path, images: int) -> Figures:
    async with open_sqlite_stores(SqliteOptions(database)) as stores:
        catalog, chance = stores.catalog, random.Random(7)  # noqa: S311  no secret
        points = [
            await _timed(lambda: catalog.get_image(chance.randrange(images) + 1, with_results=True))
            for _ in range(_POINTS)
        ]
        pages = await _walk(stores, "", _PAGES)
        filtered: Times = []
        for text in FILTERS:
            times = await _walk(stores, text, PAGES_A_FILTER)
            print(f"  {p99(times):7.1f} ms p99  {text}", file=sys.stderr)
            filtered += times
        searches = [
            await _timed(
                lambda: catalog.search_images(parse_search_words(search_text(chance)), EVERYTHING, PAGE, None)
            )
            for _ in range(_SEARCHES)
        ]
        facets = [await _timed(lambda: catalog.list_facets("tag", "", PAGE, None)) for _ in range(_FACETS)]
        looks, colors = await _similar(stores, images, chance)
    mix = "one to three words, frequent and rare, phrases, prefixes"
    return {
        "point_p99_ms": Figure(p99(points), "ms", "lower", "one image with its results", goal=3),
        "page_p99_ms": Figure(p99(pages), "ms", "lower", "50 a page, newest first, page after page", goal=10),
        "filtered_page_p99_ms": Figure(
            p99(filtered),
            "ms",
            "lower",
            f"the same with each of {len(FILTERS)} filters, {PAGES_A_FILTER} pages each",
            goal=25,
        ),
        "search_p50_ms": Figure(median(searches), "ms", "lower", mix, goal=30),
        "search_p99_ms": Figure(p99(searches), "ms", "lower", mix),
        "similar_p99_ms": Figure(p99(looks), "ms", "lower", "by look, distance of at most 10", goal=50),
        "similar_color_p99_ms": Figure(p99(colors), "ms", "lower", "by colour, the same", goal=50),
        "facets_p99_ms": Figure(p99(facets), "ms", "lower", "the 50 most frequent tags"),
    }


async def _walk(stores: Stores, text: str, pages: int) -> Times:
    """Times of the first pages of a list."""
    query = ImageQuery(parse_conditions(catalog_pb2.ImageQuery(), text))
    order, times = PageOrder(PAGE), []
    for _ in range(pages):
        started_s = time.perf_counter()
        page = await stores.catalog.list_images(query, order, with_results=False)
        times.append(1_000 * (time.perf_counter() - started_s))
        if page.next is None:
            break
        order = PageOrder(PAGE, page.next)
    return times


async def _similar(stores: Stores, images: int, chance: random.Random) -> tuple[Times, Times]:
    index = LookIndex(stores.looks, patience_s=60)
    await index.refresh()

    async def ask(measure: Measure) -> object:
        query = SimilarQuery(
            key=chance.randrange(images) + 1,
            measure=measure,
            max_distance=10,
            size=PAGE,
            after=None,
            bound_to=b"",
        )
        return await find_similar(stores.catalog, stores.looks, index, query)

    looks = [await _timed(lambda: ask("look")) for _ in range(_SIMILAR)]
    return looks, [await _timed(lambda: ask("color")) for _ in range(_SIMILAR)]


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    started_s = time.perf_counter()
    await call()
    return 1_000 * (time.perf_counter() - started_s)
