"""Several catalogs on one MongoDB: whatever they do at the same time, counters and bytes stay exact."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from services.catalog.conditions import EVERYTHING
from services.catalog.model import PageOrder, SearchWords
from services.catalog.mongo.database import MongoDatabase, open_mongo_database
from services.catalog.mongo.faces import INDEXES as FACE_INDEXES
from services.catalog.mongo.indexes import INDEXES
from services.catalog.mongo.store import MongoStore
from services.catalog.mongo.tally import Tally, facet_id, tally_of
from services.catalog.states import ImageState
from services.runtime.errors import Reason, ServiceError
from tests.contract.catalog.adapters import Clock, analysis, digest_of, insights, new_image, outcome
from tests.contract.catalog.mongo_adapter import drop_database, mongo_options

CATALOGS = 3
CONTENTS = "ab"
ROUNDS = 6


@pytest.fixture
async def databases(clock: Clock) -> AsyncIterator[list[MongoDatabase]]:
    """One database, open several times as by several processes."""
    options = await mongo_options()
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(open_mongo_database(options, (*INDEXES, *FACE_INDEXES), clock))
            for _ in range(CATALOGS)
        ]
        yield opened
        await drop_database(opened[0], options)


async def live(store: MongoStore, number: int) -> None:
    """Creates, analyses, hides, restores and deletes images of the same few bytes as everybody else."""
    for step in range(ROUNDS):
        content = CONTENTS[step % len(CONTENTS)]
        image = await create(store, content, f"{number} {step}")
        result = analysis(content, version=str(number), result=insights("a boat"), create_time_us=step)
        assert await store.write_outcomes([outcome(image, result, state=ImageState.PROCESSED)]) == [None]
        await store.hide_image(image)
        if step % 2:
            await store.restore_image(image)
        if step % 3:
            await store.delete_image(image)


async def create(store: MongoStore, content: str, request_id: str) -> int:
    """The number of a new image, with bytes stored again where they were collected."""
    generation = 0
    while True:
        try:
            image, _ = await store.create_image(
                new_image(content, labels={"by": request_id[0]}, batch="batches/1"), request_id, generation
            )
        except ServiceError as refusal:
            if refusal.reason not in {Reason.BLOB_BEING_COLLECTED, Reason.BLOB_COLLECTED}:
                raise
            generation = int(refusal.metadata.get("generation", generation))
        else:
            return image.number


async def collect(store: MongoStore, ended: asyncio.Event, now_us: Clock) -> None:
    """Collects garbage as soon as it is some."""
    while not ended.is_set():
        condemned = await store.condemn_blobs(now_us(), 10)
        await store.forget_blobs([blob.sha256 for blob in condemned])


async def test_counters_are_exact_whatever_happens_at_the_same_time(
    databases: list[MongoDatabase], clock: Clock
) -> None:
    stores = [MongoStore(database) for database in databases]
    ended = asyncio.Event()
    collector = asyncio.create_task(collect(stores[-1], ended, clock))
    await asyncio.gather(*(live(store, number) for number, store in enumerate(stores)))
    ended.set()
    await collector
    await assert_exact(databases[0])


async def assert_exact(database: MongoDatabase) -> None:
    """Every counter is what a scan of everything says."""
    images = await database.collection("images").find({}).to_list(None)
    blobs = {blob["_id"]: blob for blob in await database.collection("blobs").find({}).to_list(None)}
    analyses = await database.collection("analyses").find({}).to_list(None)
    wanted: Tally = Counter()
    for image in images:
        wanted.update(tally_of(image))
    for digest, blob in blobs.items():
        assert blob["ref_count"] == wanted["ref", digest]
        assert blob["live_count"] == wanted["live", digest]
        assert ("garbage_since_us" in blob) == (not blob["ref_count"] and blob["fate"] < 2)
        assert not blob["ref_count"] or not blob["fate"]
    facets = {
        facet["_id"]: facet["count"] for facet in await database.collection("facets").find().to_list(None)
    }
    assert facets == {facet_id(*key[1:]): count for key, count in wanted.items() if key[0] == "facet"}
    stats = await MongoStore(database).read_stats()
    visible = [image for image in images if image["visible"]]
    assert stats.image_count == len(visible) > 0
    assert stats.states == Counter(ImageState(image["state"]) for image in visible)
    assert stats.analysis_count == sum(bool(blobs[entry["sha256"]]["ref_count"]) for entry in analyses)
    live = [blob for blob in blobs.values() if blob["live_count"]]
    assert (stats.blob_count, stats.blob_bytes) == (len(live), sum(blob["size_bytes"] for blob in live))
    numbers = sorted(image["_id"] for image in images)
    assert len(set(numbers)) == len(numbers)
    looks = {look["_id"] for look in await database.collection("looks").find({}).to_list(None)}
    assert looks == {image["_id"] for image in visible if image["look"]}


async def test_an_image_and_the_collector_never_both_have_the_bytes(
    databases: list[MongoDatabase], clock: Clock
) -> None:
    first, second = MongoStore(databases[0]), MongoStore(databases[1])
    for step in range(12):
        doomed = await create(first, "a", f"{step}")
        await first.delete_image(doomed)
        created, condemned = await asyncio.gather(
            first.create_image(new_image("a"), "", step),
            second.condemn_blobs(clock.now_us + 1, 10),
            return_exceptions=True,
        )
        assert not isinstance(condemned, BaseException), condemned
        assert isinstance(created, ServiceError) == (len(condemned) == 1), (created, condemned)
        if isinstance(created, ServiceError):
            assert created.reason == Reason.BLOB_BEING_COLLECTED
        elif not isinstance(created, BaseException):
            await first.delete_image(created[0].number)
        await second.condemn_blobs(clock.now_us + 1, 10)
        await second.forget_blobs([digest_of("a")])


async def test_one_request_makes_one_image_on_several_catalogs(databases: list[MongoDatabase]) -> None:
    stores = [MongoStore(database) for database in databases]
    answers = await asyncio.gather(*(store.create_image(new_image(), "r") for store in stores for _ in "123"))
    assert {image.number for image, _ in answers} == {answers[0][0].number}
    assert sum(created for _, created in answers) == 1


async def test_a_word_that_another_catalog_stored_is_found_by_its_beginning(
    databases: list[MongoDatabase],
) -> None:
    first, second = MongoStore(databases[0]), MongoStore(databases[1])
    await first.create_image(new_image(name="lighthouse.jpg"), "")
    found = await second.search_images(SearchWords(prefixes=("light",)), EVERYTHING, 10, None)
    assert [hit.image.number for hit in found.hits] == [1]
    assert (await second.list_analyses(1, PageOrder(5))).analyses == ()
