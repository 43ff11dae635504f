"""The database file: what is refused, what survives, what happens when it is full or damaged."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from services.catalog.model import ImageQuery, PageOrder
from services.catalog.sqlite.store import SqliteOptions, open_sqlite_store
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from services.runtime.errors import Reason, ServiceError
from sightmill.v1 import errors_pb2
from tests.contract.catalog.adapters import analysis, insights, new_image, outcome, write_outcome


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "catalog" / "catalog.sqlite3"


async def fill(path: Path, count: int = 200) -> None:
    async with open_sqlite_store(SqliteOptions(path)) as store:
        await asyncio.gather(*(store.create_image(new_image(f"{index}"), "") for index in range(count)))


async def refused_open(path: Path, reason: errors_pb2.ErrorReason.ValueType) -> str:
    with pytest.raises(ServiceError) as refusal:
        async with open_sqlite_store(SqliteOptions(path)):
            pass
    assert refusal.value.reason == reason
    return refusal.value.message


def edit(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


async def test_folders_are_made_for_the_owner_alone(path: Path, tmp_path: Path) -> None:
    await fill(path, 1)
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # Nothing is left beside the database after a clean stop, so that a copy of the file is a backup.
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


async def test_a_strange_path_is_just_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a b%20?mode=ro#x" / "\u6d77.sqlite3"
    await fill(path, 1)
    assert path.exists()


async def test_every_commit_is_synced_to_disk(path: Path) -> None:
    async with open_sqlite_store(SqliteOptions(path)) as store:
        pragmas = await store._change(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        )
    assert pragmas == ["wal", 2, 1]


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    content = b"Dear diary, " * 1_000
    path.write_bytes(content)
    message = await refused_open(path, Reason.DATA_DAMAGED)
    assert "file is not a database" in message
    assert path.read_bytes() == content


async def test_a_database_with_one_damaged_page_is_refused_and_left_alone(path: Path) -> None:
    await fill(path)
    content = bytearray(path.read_bytes())
    # The last page holds rows, which nothing but the check looks at while opening.
    content[-4_096 : -4_096 + 64] = b"\xa5" * 64
    path.write_bytes(content)
    message = await refused_open(path, Reason.DATA_DAMAGED)
    assert "The check says" in message
    assert path.read_bytes() == content


def damage_list(path: Path) -> None:
    """Overwrites the page that every walk over the images begins at."""
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'facts'").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4_096)
        file.write(b"\xa5" * 64)


async def test_a_large_file_that_was_closed_in_order_opens_without_a_full_check(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.catalog.sqlite.schema._ALWAYS_CHECKED_BYTES", 0)
    await fill(path)
    damage_list(path)
    async with open_sqlite_store(SqliteOptions(path)) as store:
        # Once somebody meets the damage, nothing is written any more.
        for call in (
            lambda: store.list_images(ImageQuery(), PageOrder(10), with_results=False),
            store.ping,
        ):
            with pytest.raises(ServiceError) as refusal:
                await call()
            assert refusal.value.reason == Reason.DATA_DAMAGED
    # Damage leaves the mark of a file in use, so that now all of it is checked.
    await refused_open(path, Reason.DATA_DAMAGED)


async def test_a_large_file_that_was_not_closed_in_order_is_checked(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.catalog.sqlite.schema._ALWAYS_CHECKED_BYTES", 0)
    await fill(path)
    copy = tmp_path / "copy.sqlite3"
    async with open_sqlite_store(SqliteOptions(path)):
        # What a crash at this moment would leave.
        for suffix in ("-wal", ""):
            copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    damage_list(copy)
    await refused_open(copy, Reason.DATA_DAMAGED)


async def test_a_truncated_database_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 // 4_096 * 4_096])
    await refused_open(path, Reason.DATA_DAMAGED)
    # Also without the check that reads everything.
    monkeypatch.setattr("services.catalog.sqlite.schema._ALWAYS_CHECKED_BYTES", 0)
    await refused_open(path, Reason.DATA_DAMAGED)


async def test_a_database_of_a_later_version_is_refused_and_left_alone(path: Path) -> None:
    await fill(path, 1)
    edit(path, "PRAGMA user_version = 9999")
    content = path.read_bytes()
    message = await refused_open(path, Reason.WRONG_STATE)
    assert "version 9999" in message
    assert "versions up to" in message
    assert path.read_bytes() == content


async def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    edit(path, "CREATE TABLE images (name TEXT)")
    content = path.read_bytes()
    message = await refused_open(path, Reason.WRONG_STATE)
    assert "another program" in message
    assert path.read_bytes() == content


async def test_a_place_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite3").mkdir()
    await refused_open(tmp_path / "catalog.sqlite3", Reason.STORE_UNAVAILABLE)


async def fill_up(store: CatalogStore) -> ServiceError:
    for index in range(10_000):
        try:
            await store.create_image(new_image(f"{index}"), "")
        except ServiceError as error:
            return error
    pytest.fail("the store never filled up")


async def test_a_full_disk_is_told_and_survived(path: Path) -> None:
    limit_bytes = 400_000
    async with open_sqlite_store(SqliteOptions(path, max_bytes=limit_bytes)) as store:
        error = await fill_up(store)
        assert error.reason == Reason.STORAGE_FULL
        stats = await store.read_stats()
        page = await store.list_images(ImageQuery(), PageOrder(1_000), with_results=False)
        assert stats.image_count == page.total >= 100
        await store.ping()
        # Deleting makes room again.
        for image in page.images[:50]:
            await store.delete_image(image.uuid)
        made, _ = await store.create_image(new_image("fits"), "")
        assert made.number > page.images[0].number
    assert path.stat().st_size <= limit_bytes


async def test_of_a_group_that_does_not_fit_nothing_is_stored(path: Path) -> None:
    async with open_sqlite_store(SqliteOptions(path, max_bytes=300_000)) as store:
        await store.create_image(new_image(), "")
        large = outcome(1, analysis(result=insights("a" * 400_000)), state=ImageState.PROCESSED)
        small = [store.create_image(new_image(f"{index}"), "") for index in range(10)]
        answers = await asyncio.gather(write_outcome(store, large), *small, return_exceptions=True)
        assert isinstance(answers[0], ServiceError)
        assert answers[0].reason == Reason.STORAGE_FULL
        stored = 1 + sum(not isinstance(answer, BaseException) for answer in answers[1:])
        stats = await store.read_stats()
        assert (stats.image_count, stats.analysis_count) == (stored, 0)


async def test_damage_that_shows_later_ends_all_writing(path: Path) -> None:
    await fill(path)
    async with open_sqlite_store(SqliteOptions(path)) as store:
        size = path.stat().st_size
        with path.open("r+b") as file:
            for offset in range(4_096, size, 4_096):
                file.seek(offset)
                file.write(b"\xa5" * 4_096)
        for call in (
            lambda: store.list_images(ImageQuery(), PageOrder(10), with_results=False),
            lambda: store.create_image(new_image("late"), ""),
            lambda: write_outcome(store, outcome(3, state=ImageState.PROCESSED)),
            store.ping,
        ):
            with pytest.raises(ServiceError) as refusal:
                await call()
            assert refusal.value.reason == Reason.DATA_DAMAGED


async def test_two_processes_may_share_a_file(path: Path) -> None:
    async with open_sqlite_store(SqliteOptions(path)) as one, open_sqlite_store(SqliteOptions(path)) as two:
        made = await asyncio.gather(
            *(
                store.create_image(new_image(f"{index}"), f"{index}")
                for index in range(50)
                for store in (one, two)
            )
        )
        assert sum(created for _, created in made) == 50
        assert sorted({image.number for image, _ in made}) == list(range(1, 51))


async def test_a_store_locked_by_somebody_else_is_unavailable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.catalog.sqlite.schema.BUSY_TIMEOUT_MS", 50)
    async with open_sqlite_store(SqliteOptions(path)) as store:
        await store.create_image(new_image(), "")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceError) as refusal:
            await store.create_image(new_image("sky"), "")
        assert refusal.value.reason == Reason.STORE_UNAVAILABLE
        assert (await store.read_stats()).image_count == 1
        other.execute("ROLLBACK")
        other.close()
        await store.create_image(new_image("sky"), "")
