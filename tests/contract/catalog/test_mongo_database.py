"""The MongoDB database under both drivers: transactions, faults of the server, what is refused at start."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, DuplicateKeyError, OperationFailure, WriteError

from services.catalog.mongo.database import MongoDatabase, MongoIndex, MongoOptions, open_mongo_database
from services.catalog.mongo.faults import typed_fault
from services.catalog.mongo.schema import SCHEMA_VERSION
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import errors_pb2
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.mongo_adapter import drop_database, mongo_options
from tests.servers.mongo_server import MongoServer, mongo_server

SECRET = "not-to-be-seen"  # noqa: S105  no server knows it
UNREACHABLE = f"mongodb://somebody:{SECRET}@127.0.0.1:9/?directConnection=true"


@pytest.fixture(params=["motor", "pymongo"])
def driver(request: pytest.FixtureRequest) -> Iterator[str]:
    yield str(request.param)
    # PyMongo's monitors drop the socket that they are connecting with when a client is closed meanwhile, as
    # it is here where no server answers.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
async def options(driver: str) -> MongoOptions:
    return await mongo_options(driver=driver)


@pytest.fixture
async def database(options: MongoOptions, clock: Clock) -> AsyncIterator[MongoDatabase]:
    unique = MongoIndex("things", (("name", 1),), {"unique": True})
    async with open_mongo_database(options, [unique], clock) as opened:
        yield opened
        await drop_database(opened, options)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MongoServer]:
    """A server of its own, to be killed."""
    async with mongo_server(tmp_path) as running:
        yield running


def own_options(server: MongoServer, driver: str, timeout_s: float = 5.0) -> MongoOptions:
    return MongoOptions(server.url, "sightmill_test", driver, timeout_s)


async def add_one(database: MongoDatabase, session: Any) -> int:
    things = database.collection("things")
    known = await things.find_one({"_id": "n"}, session=session)
    count = int(known["count"]) + 1 if known else 1
    await things.replace_one({"_id": "n"}, {"name": "n", "count": count}, upsert=True, session=session)
    return count


async def test_changes_at_the_same_time_are_as_one_after_the_other(database: MongoDatabase) -> None:
    async def change(session: Any) -> int:
        return await add_one(database, session)

    counts = await asyncio.gather(*(database.change(change) for _ in range(12)))
    assert sorted(counts) == list(range(1, 13))


async def test_a_change_that_fails_leaves_nothing(database: MongoDatabase) -> None:
    async def fail(session: Any) -> None:
        await add_one(database, session)
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        await database.change(fail)
    assert await database.run(lambda: database.collection("things").count_documents({})) == 0


async def test_a_key_that_is_taken_for_good_is_said_so(database: MongoDatabase) -> None:
    things = database.collection("things")
    await database.run(lambda: things.insert_one({"_id": 1, "name": "sea"}))

    async def insert(session: Any) -> None:
        await things.insert_one({"_id": 2, "name": "sea"}, session=session)

    with pytest.raises(DuplicateKeyError):
        await database.change(insert)


async def test_a_caller_that_leaves_does_not_tear_a_change(database: MongoDatabase) -> None:
    begun = asyncio.Event()

    async def change(session: Any) -> None:
        await add_one(database, session)
        begun.set()
        await database.collection("things").insert_one({"_id": "second", "name": "2"}, session=session)

    call = asyncio.create_task(database.change(change))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await database.drain()
    assert await database.run(lambda: database.collection("things").count_documents({})) == 2


async def test_a_change_that_is_late_leaves_nothing_in_the_way_of_others(
    database: MongoDatabase, options: MongoOptions, clock: Clock
) -> None:
    async def never_end(session: Any) -> None:
        while True:
            await add_one(hasty, session)

    async def change(session: Any) -> int:
        return await add_one(database, session)

    async with open_mongo_database(replace(options, timeout_s=0.5), (), clock) as hasty:
        with pytest.raises(ServiceError) as fault:
            await hasty.change(never_end)
        assert fault.value.reason == Reason.DEADLINE
        assert await database.change(change) == 1


async def test_aggregations_are_the_same_with_both_drivers(database: MongoDatabase) -> None:
    things = database.collection("things")
    await database.run(lambda: things.insert_many([{"name": str(n), "size": n} for n in range(5)]))
    stages = [{"$group": {"_id": None, "sum": {"$sum": "$size"}}}]
    assert await database.run(lambda: database.aggregate("things", stages)) == [{"_id": None, "sum": 10}]


async def test_too_many_calls_are_refused(options: MongoOptions, clock: Clock) -> None:
    async with open_mongo_database(replace(options, max_waiting=1), (), clock) as database:
        first = asyncio.create_task(database.run(lambda: database.collection("marks").find_one({})))
        await asyncio.sleep(0)
        with pytest.raises(ServiceError) as refusal:
            await database.run(lambda: database.collection("marks").find_one({}))
        assert refusal.value.reason == Reason.OVERLOADED
        await first
        await drop_database(database, options)


async def test_a_later_schema_is_refused(options: MongoOptions, clock: Clock) -> None:
    async with open_mongo_database(options, (), clock) as database:
        marks = database.collection("marks")
        await marks.update_one({"_id": "schema"}, {"$set": {"value": SCHEMA_VERSION + 1}})
        with pytest.raises(ServiceError) as refusal:
            async with open_mongo_database(options, (), clock):
                pass
        assert refusal.value.reason == Reason.WRONG_STATE
        assert refusal.value.metadata["state"] == f"version {SCHEMA_VERSION + 1}"
        await drop_database(database, options)


async def test_what_was_acknowledged_survives_a_kill(server: MongoServer, driver: str, clock: Clock) -> None:
    async with open_mongo_database(own_options(server, driver), (), clock) as database:

        async def change(session: Any) -> int:
            return await add_one(database, session)

        before = await database.change(change)
        server.kill()
        with pytest.raises(ServiceError) as fault:
            await database.change(change)
        assert fault.value.reason in {Reason.STORE_UNAVAILABLE, Reason.DEADLINE}
        await server.start()
        assert await database.change(change) == before + 1


async def test_a_server_that_is_silent_ends_a_call_by_its_deadline(
    server: MongoServer, driver: str, clock: Clock
) -> None:
    async with open_mongo_database(own_options(server, driver, timeout_s=1.0), (), clock) as database:

        async def change(session: Any) -> int:
            return await add_one(database, session)

        await database.change(change)
        await server.suspend()
        try:
            for call in (database.change(change), database.run(database.collection("things").find_one)):
                with pytest.raises(ServiceError) as fault:
                    await asyncio.wait_for(call, 10)
                assert fault.value.reason in {Reason.STORE_UNAVAILABLE, Reason.DEADLINE}
        finally:
            server.resume()


async def test_a_server_that_stands_alone_is_refused(tmp_path: Path, driver: str, clock: Clock) -> None:
    async with mongo_server(tmp_path, "--standalone") as server:
        with pytest.raises(ServiceError) as refusal:
            async with open_mongo_database(own_options(server, driver), (), clock):
                pass
    assert refusal.value.reason == Reason.WRONG_STATE
    assert "rs.initiate" in refusal.value.message


async def test_wrong_credentials_are_refused_and_not_shown(tmp_path: Path, driver: str, clock: Clock) -> None:
    async with mongo_server(tmp_path, "--auth") as server:
        url = server.url.replace("mongodb://", f"mongodb://somebody:{SECRET}@")
        await assert_not_opened(MongoOptions(url, "x", driver, 5.0), Reason.STORE_UNAVAILABLE, clock)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (UNREACHABLE, Reason.STORE_UNAVAILABLE),
        (f"mongodb://somebody:{SECRET}@@127.0.0.1", Reason.WRONG_STATE),
        (f"mongodb://somebody:x@127.0.0.1:{SECRET}", Reason.WRONG_STATE),
        (f"{SECRET}", Reason.WRONG_STATE),
    ],
)
async def test_a_url_that_leads_nowhere_is_refused_and_not_shown(
    url: str, reason: errors_pb2.ErrorReason.ValueType, driver: str, clock: Clock
) -> None:
    await assert_not_opened(MongoOptions(url, "x", driver, 0.5), reason, clock)


async def test_an_unknown_driver_is_refused(clock: Clock) -> None:
    await assert_not_opened(MongoOptions(UNREACHABLE, "x", "other", 0.5), Reason.WRONG_STATE, clock)


async def assert_not_opened(
    options: MongoOptions, reason: errors_pb2.ErrorReason.ValueType, clock: Clock
) -> None:
    with pytest.raises(ServiceError) as refusal:
        async with open_mongo_database(options, (), clock):
            pass
    assert refusal.value.reason == reason
    shown: BaseException | None = refusal.value
    while shown is not None:
        assert SECRET not in str(shown)
        shown = shown.__cause__
    assert SECRET not in repr(options)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (OperationFailure("full", 14031), Reason.STORAGE_FULL),
        (WriteError("full", 1, {"writeErrors": [{"code": 14031}]}), Reason.STORAGE_FULL),
        (OperationFailure("torn page", 301), Reason.DATA_DAMAGED),
        (OperationFailure("who are you", 18), Reason.STORE_UNAVAILABLE),
        (OperationFailure("too slow", 50), Reason.DEADLINE),
        (OperationFailure("conflict", 112), Reason.DEADLINE),
        (AutoReconnect("gone"), Reason.STORE_UNAVAILABLE),
        (TimeoutError(), Reason.DEADLINE),
    ],
)
def test_faults_of_the_driver_have_a_reason(
    fault: BaseException, reason: errors_pb2.ErrorReason.ValueType
) -> None:
    typed = typed_fault(fault)
    assert typed is not None
    assert typed.reason == reason


@pytest.mark.parametrize("fault", [OperationFailure("no such operator", 2), ValueError("ours")])
def test_faults_of_ours_have_none(fault: BaseException) -> None:
    assert typed_fault(fault) is None
