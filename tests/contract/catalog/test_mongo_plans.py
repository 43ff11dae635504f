"""Every list, filter and search of the MongoDB store walks an index in the order of its answer.

On a server of MongoDB's own make (MONGODB_URL) the plans show it all: no COLLSCAN, no SORT. The server that
the tests start sorts in memory whatever the index, and says so; its plans show which index is walked, and
that the walk gives the order is checked against the rules of
https://www.mongodb.com/docs/manual/tutorial/sort-results-with-indexes/ .
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from services.catalog.conditions import (
    EVERYTHING,
    All,
    AnyOf,
    ColorNear,
    Condition,
    NameContains,
    Not,
    SameBytes,
    Term,
    Within,
    any_term,
)
from services.catalog.model import ImageQuery, OrderKey, PageOrder, SearchWords
from services.catalog.mongo.database import MongoDatabase, open_mongo_database
from services.catalog.mongo.faces import INDEXES as FACE_INDEXES
from services.catalog.mongo.facets import FACET_ORDER, facet_queries
from services.catalog.mongo.indexes import BY_BYTES, BY_NUMBER, BY_TERM, BY_TIME, BY_WORD, INDEXES
from services.catalog.mongo.lists import walks
from services.catalog.mongo.reads import NEWEST_FIRST
from services.catalog.mongo.search import search_walk
from services.catalog.mongo.store import MongoStore
from services.catalog.mongo.vocabulary import MOST_EXPANDED, MongoVocabulary
from tests.contract.catalog.adapters import Clock, digest_of, new_image
from tests.contract.catalog.mongo_adapter import drop_database, mongo_options

COUNT = 5
KEYS = {
    index.options.get("name", "_".join(f"{field}_{way}" for field, way in index.keys)): [*index.keys]
    for index in INDEXES
}
CONDITIONS: dict[str, tuple[Condition, str]] = {
    "everything": (EVERYTHING, BY_TIME),
    "state": (Term("state", "1"), BY_TERM),
    "states": (any_term("state", ["1", "2"]), BY_TERM),
    "camera": (Term("camera", "X100"), BY_TERM),
    "providers": (any_term("provider", ["a", "b", "c"]), BY_TERM),
    "batch": (Term("batch", "batches/1"), BY_TERM),
    "labels": (All((Term("label", "a=1"), Term("label", "b=2"))), BY_TERM),
    "tags": (All((any_term("tag", ["a", "b"]), Term("tag", "c"))), BY_TERM),
    "analyses": (any_term("analysis", [f"insights {version} x" for version in range(90)]), BY_TERM),
    "more than can be merged": (any_term("tag", [str(tag) for tag in range(150)]), BY_TIME),
    "format": (any_term("format", ["1", "2"]), BY_TIME),
    "blur": (Term("blur", "1"), BY_TIME),
    "scene": (Term("scene", "2"), BY_TIME),
    "text": (Term("has_text", "1"), BY_TIME),
    "faces": (Term("faces", "10"), BY_TIME),
    "time": (Within("create_time_us", 5, 10), BY_TIME),
    "numbers": (All((Within("size_bytes", 1), Within("width", 1), Within("height", max=5))), BY_TIME),
    "quality": (All((Within("quality", 50), Within("face_count", 1, 3))), BY_TIME),
    "name": (NameContains("sea"), BY_TIME),
    "color": (ColorNear(255, 0, 0), BY_TERM),
    "bytes": (SameBytes(digest_of("0")), BY_BYTES),
    "not": (Not(Term("tag", "a")), BY_TIME),
    "either": (AnyOf((Term("tag", "a"), Within("width", 1))), BY_TIME),
    "nothing": (AnyOf(()), BY_TIME),
}
SEARCHES: dict[str, tuple[SearchWords, str]] = {
    "a word": (SearchWords(words=("sea",)), BY_WORD),
    "words": (SearchWords(words=("sea", "boat")), BY_WORD),
    "a phrase": (SearchWords(phrases=(("sea", "boat"),)), BY_WORD),
    "a prefix": (SearchWords(prefixes=("se",)), BY_WORD),
    "a word and a prefix": (SearchWords(words=("jpg",), prefixes=("se",)), BY_WORD),
    "a prefix of many words": (SearchWords(prefixes=("x",)), BY_NUMBER),
}


@pytest.fixture
async def database(clock: Clock) -> AsyncIterator[MongoDatabase]:
    options = await mongo_options()
    async with open_mongo_database(options, (*INDEXES, *FACE_INDEXES), clock) as opened:
        store = MongoStore(opened)
        for number in range(COUNT):
            await store.create_image(new_image(str(number), labels={"a": "1"}, batch="batches/1"), "")
        yield opened
        await drop_database(opened, options)


async def test_lists_walk_an_index_in_order(database: MongoDatabase) -> None:
    for condition, expected in CONDITIONS.values():
        for after, descending in ((None, True), ((10, 3), True), ((10, 3), False)):
            for walk in walks(ImageQuery(condition), PageOrder(2, after, descending)):
                assert walk.index == expected, condition
                await assert_walks(database, "images", walk.query, walk.sort, walk.index)


@pytest.mark.parametrize("key", ["size_bytes", "quality"])
async def test_other_orders_walk_their_own_index(database: MongoDatabase, key: OrderKey) -> None:
    for condition, _ in CONDITIONS.values():
        for walk in walks(ImageQuery(condition), PageOrder(2, (5, 3), key=key)):
            await assert_walks(database, "images", walk.query, walk.sort, walk.index)


async def test_lists_with_hidden_images_are_two_walks(database: MongoDatabase) -> None:
    for condition in (EVERYTHING, Term("state", "1"), SameBytes(digest_of("0"))):
        for walk in walks(ImageQuery(condition, with_hidden=True), PageOrder(2)):
            await assert_walks(database, "images", walk.query, walk.sort, walk.index)


async def test_searches_walk_an_index_by_number(database: MongoDatabase) -> None:
    vocabulary = MongoVocabulary(database)
    await vocabulary.add(["sea", "seal", *(f"x{number}" for number in range(MOST_EXPANDED + 1))])
    for words, expected in SEARCHES.values():
        walk = await search_walk(vocabulary, words, 1_000)
        assert walk is not None
        assert walk.index == expected, words
        await assert_walks(database, "images", walk.query, [("_id", -1)], walk.index)


async def test_a_prefix_of_no_word_needs_no_walk(database: MongoDatabase) -> None:
    assert await search_walk(MongoVocabulary(database), SearchWords(prefixes=("zz",)), 1_000) is None


async def test_counters_and_analyses_are_read_in_order(database: MongoDatabase) -> None:
    by_count, by_time = "scope_1_field_1_count_-1_value_1", "sha256_1_create_time_us_1_sequence_1"
    by_analyzer = "sha256_1_analyzer_1_create_time_us_1_sequence_1"
    for after in (None, (5, "sea")):
        for query in facet_queries("tag", "", after):
            await assert_walks(database, "facets", query, FACET_ORDER, by_count, hinted=False)
    bytes_of = {"sha256": digest_of("0")}
    await assert_walks(database, "analyses", bytes_of, NEWEST_FIRST, by_time)
    await assert_walks(database, "analyses", {**bytes_of, "analyzer": "caption"}, NEWEST_FIRST, by_analyzer)


async def assert_walks(
    database: MongoDatabase,
    collection: str,
    query: dict[str, Any],
    sort: Sequence[tuple[str, int]],
    index: str,
    *,
    hinted: bool = True,
) -> None:
    """The server walks this index, and the index gives the order."""
    assert gives_order(KEYS[index], query, sort), (KEYS[index], query, sort)
    cursor = database.collection(collection).find(query).sort(list(sort)).limit(3)
    plan = (await (cursor.hint(index) if hinted else cursor).explain())["queryPlanner"]["winningPlan"]
    stages = [*_stages(plan)]
    names = [stage["stage"] for stage in stages]
    assert not {"COLLSCAN", "SORT"} & {*names} if await _is_real(database) else "COLLSCAN" not in names
    walked = {stage["indexName"] for stage in stages if stage["stage"] == "IXSCAN"}
    # Nothing is walked for a condition that can't hold.
    assert walked == {index} or "EOF" in names, plan


def gives_order(
    keys: Sequence[tuple[str, int]], query: dict[str, Any], sort: Sequence[tuple[str, int]]
) -> bool:
    """True when the index is in the order of ``sort`` after fields that have one value each, or a few that a
    server merges; what is equal needs no order of its own."""
    bounds = _bounds(query)
    left = [(field, way) for field, way in sort if not _is_point(bounds.get(field))]
    rest = [(field, way) for field, way in keys if (field, way) in left or (field, -way) in left]
    start = keys.index(rest[0]) if rest else 0
    before = [field for field, _ in keys[:start]]
    merged = 1
    for field in before:
        if not _is_point(bounds.get(field)):
            merged *= len(bounds[field]["$in"]) if "$in" in bounds.get(field, {}) else 1_000
    ways = {way * wanted for (_, way), (_, wanted) in zip(rest, left, strict=True)}
    return [field for field, _ in rest] == [field for field, _ in left] and len(ways) <= 1 and merged <= 200


def _bounds(query: dict[str, Any]) -> dict[str, Any]:
    """The first bound of each field; the store puts what leads the walk before everything else."""
    found: dict[str, Any] = {}
    for part in (query, *query.get("$and", ())):
        for field, bound in part.items():
            if not field.startswith("$"):
                found.setdefault(field, bound)
    return found


def _is_point(bound: Any) -> bool:
    return bound is not None and not isinstance(bound, dict)


def _stages(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in (*plan.get("inputStages", ()), *filter(None, [plan.get("inputStage")])):
        yield from _stages(inner)


async def _is_real(database: MongoDatabase) -> bool:
    hello = await database.collection("images").database.client.admin.command("hello")
    return bool(hello.get("setName") != "secantus")
