"""The writer's groups, and the bounds and deadlines of writer and readers."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.catalog.sqlite.faults import damaged
from services.catalog.sqlite.readers import SqliteReaders
from services.catalog.sqlite.schema import open_database
from services.catalog.sqlite.writer import SqliteWriter
from services.runtime.errors import Reason, ServiceError

WAIT_S = 10.0
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite3"


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[SqliteWriter]:
    connection = open_database(path, 0)
    connection.execute("CREATE TABLE notes (note TEXT UNIQUE)")
    opened = SqliteWriter(connection, max_waiting=8, max_group=4)
    yield opened
    await opened.close()


@pytest.fixture
async def readers(writer: SqliteWriter, path: Path) -> AsyncIterator[SqliteReaders]:
    opened = SqliteReaders(path, count=2, max_waiting=3)
    yield opened
    await opened.close()


def note(text: str) -> Callable[[sqlite3.Connection], int]:
    """Writes a note; gives the number of changes since the transaction began, which tells the group."""
    return lambda connection: connection.execute("INSERT INTO notes VALUES (?)", (text,)).rowcount


def notes(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT note FROM notes ORDER BY rowid").fetchall()
    connection.close()
    return [text for (text,) in rows]


async def held(writer: SqliteWriter) -> tuple[asyncio.Task[None], threading.Event]:
    """Keeps the writer busy until the event is set."""
    begun, release = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        begun.set()
        assert release.wait(WAIT_S)

    task = asyncio.create_task(writer.run(hold, WAIT_S))
    assert await asyncio.to_thread(begun.wait, WAIT_S)
    return task, release


async def test_what_waits_is_committed_together(writer: SqliteWriter, path: Path) -> None:
    commits: list[str] = []
    writer._connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    task, release = await held(writer)
    waiting = [asyncio.create_task(writer.run(note(f"{index}"), WAIT_S)) for index in range(8)]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(task, *waiting)
    # The one that was held, then eight in groups of at most four.
    assert len(commits) == 3
    assert notes(path) == [f"{index}" for index in range(8)]


async def test_a_group_ends_when_its_time_is_over(
    writer: SqliteWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.catalog.sqlite.writer._GROUP_TIME_S", -1.0)
    commits: list[str] = []
    writer._connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
    task, release = await held(writer)
    waiting = [asyncio.create_task(writer.run(note(f"{index}"), WAIT_S)) for index in range(3)]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(task, *waiting)
    assert len(commits) == 4
    assert notes(path) == ["0", "1", "2"]


async def test_nothing_that_waits_is_written_on_damaged_ground(writer: SqliteWriter, path: Path) -> None:
    task, release = await held(writer)
    waiting = asyncio.create_task(writer.run(note("late"), WAIT_S))
    await asyncio.sleep(0)
    writer.refuse_all(damaged("A test says so"))
    release.set()
    await task
    with pytest.raises(ServiceError) as refusal:
        await waiting
    assert refusal.value.reason == Reason.DATA_DAMAGED
    assert notes(path) == []


async def test_one_failing_change_takes_no_other_with_it(writer: SqliteWriter, path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES ('half')")
        raise ValueError("no")

    task, release = await held(writer)
    waiting = [
        asyncio.create_task(writer.run(change, WAIT_S)) for change in (note("a"), fail, note("a"), note("b"))
    ]
    await asyncio.sleep(0)
    release.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    await task
    assert (answers[0], answers[3]) == (1, 1)
    assert isinstance(answers[1], ValueError)
    assert isinstance(answers[2], sqlite3.IntegrityError)
    assert notes(path) == ["a", "b"]


async def test_a_full_queue_refuses_at_once(writer: SqliteWriter) -> None:
    task, release = await held(writer)
    waiting = [asyncio.create_task(writer.run(note(f"{index}"), WAIT_S)) for index in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceError) as refusal:
        await writer.run(note("too much"), WAIT_S)
    assert refusal.value.reason == Reason.OVERLOADED
    assert refusal.value.retry_after_s
    release.set()
    await asyncio.gather(task, *waiting)


async def test_a_change_that_nobody_waits_for_any_more_is_left_out(writer: SqliteWriter, path: Path) -> None:
    task, release = await held(writer)
    with pytest.raises(TimeoutError):
        await writer.run(note("late"), 0.01)
    cancelled = asyncio.create_task(writer.run(note("cancelled"), WAIT_S))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    release.set()
    await task
    await writer.run(note("next"), WAIT_S)
    assert notes(path) == ["next"]


async def test_closing_applies_what_waits_and_refuses_what_comes(writer: SqliteWriter, path: Path) -> None:
    task, release = await held(writer)
    waiting = [asyncio.create_task(writer.run(note(f"{index}"), WAIT_S)) for index in range(6)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    with pytest.raises(ServiceError) as refusal:
        await writer.run(note("late"), WAIT_S)
    assert refusal.value.reason == Reason.STORE_UNAVAILABLE
    release.set()
    await asyncio.gather(task, closing, *waiting)
    assert len(notes(path)) == 6


async def test_a_read_past_its_deadline_is_stopped(readers: SqliteReaders) -> None:
    with pytest.raises((TimeoutError, ServiceError)) as late:
        await readers.run(lambda connection: connection.execute(ENDLESS).fetchone(), 0.05)
    # Whoever looks at the clock first, event loop or thread.
    if isinstance(late.value, ServiceError):
        assert late.value.reason == Reason.DEADLINE
    # Both threads are free again: two reads at a time get through.
    barrier = threading.Barrier(2)
    await asyncio.gather(*(readers.run(lambda _: barrier.wait(WAIT_S), WAIT_S) for _ in range(2)))


async def test_a_read_that_nobody_waits_for_any_more_is_stopped(readers: SqliteReaders) -> None:
    reads = [
        asyncio.create_task(readers.run(lambda connection: connection.execute(ENDLESS).fetchone(), 1_000))
        for _ in range(2)
    ]
    await asyncio.sleep(0)
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)
    async with asyncio.timeout(WAIT_S):
        assert await readers.run(lambda connection: connection.execute("SELECT 7").fetchone(), WAIT_S) == (7,)


async def test_too_many_reads_are_refused_at_once(readers: SqliteReaders) -> None:
    release = threading.Event()
    reads = [asyncio.create_task(readers.run(lambda _: release.wait(WAIT_S), WAIT_S)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceError) as refusal:
        await readers.run(lambda _: None, WAIT_S)
    assert refusal.value.reason == Reason.OVERLOADED
    release.set()
    assert await asyncio.gather(*reads) == [True] * 3


async def test_readers_cannot_write(readers: SqliteReaders) -> None:
    with pytest.raises(ServiceError) as refusal:
        await readers.run(lambda connection: connection.execute("DELETE FROM images"), WAIT_S)
    assert refusal.value.reason == Reason.STORE_UNAVAILABLE


async def test_a_read_sees_one_moment(readers: SqliteReaders, writer: SqliteWriter) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def count_twice(connection: sqlite3.Connection) -> tuple[int, int]:
        first = connection.execute("SELECT count(*) FROM notes").fetchone()[0]
        begun.set()
        assert go_on.wait(WAIT_S)
        return first, connection.execute("SELECT count(*) FROM notes").fetchone()[0]

    reading = asyncio.create_task(readers.run(count_twice, WAIT_S))
    assert await asyncio.to_thread(begun.wait, WAIT_S)
    await writer.run(note("meanwhile"), WAIT_S)
    go_on.set()
    assert await reading == (0, 0)
