"""A catalog that goes from one store to the other and back: every port answers the same."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.catalog.migration.copy import CatalogCopy
from services.catalog.migration.migration import migrate
from services.catalog.migration.proof import Proof
from services.catalog.migration.records import KINDS, Kind, Record
from services.catalog.model import PageOrder
from services.catalog.mongo.copy import open_mongo_copy
from services.catalog.sqlite.copy import open_sqlite_copy
from services.catalog.sqlite.database import SqliteOptions
from services.catalog.states import ImageState
from services.catalog.stores import MONGO_INDEXES
from services.runtime.errors import DataLossError, FailedPreconditionError
from tests.contract.catalog.adapters import START_US, analysis, new_image, outcome, write_outcome
from tests.contract.catalog.caption_adapters import settlement
from tests.contract.catalog.migration_world import Place, answers, fill, open_stores
from tests.contract.catalog.mongo_adapter import mongo_options

PAIRS = pytest.mark.parametrize("first", ["sqlite", "mongo"])
"""Which store the catalog begins in."""


class CutOffError(Exception):
    """The process is gone."""


@asynccontextmanager
async def open_copy(place: Place) -> AsyncIterator[CatalogCopy]:
    if isinstance(place, Path):
        async with open_sqlite_copy(SqliteOptions(place)) as in_sqlite:
            yield in_sqlite
    else:
        async with open_mongo_copy(place, MONGO_INDEXES) as in_mongo:
            yield in_mongo


async def move(source: Place, target: Place, calls_left: int = -1) -> Sequence[Proof]:
    """Migrates; cut off after so many pages, if that is not below zero."""
    left = calls_left

    def progress(*_: object) -> None:
        nonlocal left
        if left == 0:
            raise CutOffError
        left -= 1

    async with open_copy(source) as ours, open_copy(target) as theirs:
        return await migrate(ours, theirs, progress)


async def places(first: str, folder: Path) -> tuple[Place, Place, Place]:
    """A catalog to fill, one in the other store, one in the first store again."""
    if first == "sqlite":
        return folder / "first.sqlite3", await mongo_options(), folder / "third.sqlite3"
    return await mongo_options(), folder / "second.sqlite3", await mongo_options()


async def filled(place: Place) -> dict[str, object]:
    async with open_stores(place) as stores:
        await fill(stores)
        return await answers(stores)


async def asked(place: Place) -> dict[str, object]:
    async with open_stores(place) as stores:
        return await answers(stores)


def compare(before: dict[str, object], after: dict[str, object]) -> None:
    assert before.keys() == after.keys()
    for question, answer in before.items():
        assert after[question] == answer, question


@PAIRS
async def test_there_and_back_every_port_answers_the_same(tmp_path: Path, first: str) -> None:
    one, two, three = await places(first, tmp_path)
    before = await filled(one)
    proofs = await move(one, two)
    assert [proof.kind for proof in proofs] == [kind.name for kind in KINDS]
    assert all(proof.count for proof in proofs)
    compare(before, await asked(two))
    assert await move(two, three) == proofs
    compare(before, await asked(three))
    compare(before, await asked(one))


@PAIRS
async def test_life_goes_on_in_the_copy_as_it_would_have(tmp_path: Path, first: str) -> None:
    one, two, _ = await places(first, tmp_path)
    await filled(one)
    await move(one, two)
    lives = []
    for place in (one, two):
        async with open_stores(place) as stores:
            catalog = stores.catalog
            assert not (await catalog.create_image(new_image("photo 1"), "request 1"))[1]
            image, _ = await catalog.create_image(new_image("photo 3", ImageState.PROCESSED), "later")
            await catalog.restore_image(4)
            await catalog.delete_image(3)
            await write_outcome(catalog, outcome(2, state=ImageState.PROCESSED))
            # As old as those of before: the order in which they came decides.
            late = analysis("photo 8", "caption", "3", "", create_time_us=START_US)
            await write_outcome(catalog, outcome(9, late))
            # Settled already, held, expired: each is known as what it is.
            await stores.caption_records.settle_spend([settlement(1), settlement(2), settlement(4)])
            assert await stores.caption_records.drop_captions(0, 7, 100) == 2
            page = await catalog.list_analyses(9, PageOrder(10))
            garbage = await catalog.condemn_blobs(2**62, 100)
            found = await answers(stores)
            lives.append(
                [image.number, {blob.sha256 for blob in garbage}, found["stats"], found["repeated"]]
                + [found["captions"], found["spend"], found["usage by batch"]]
                + [(known.analyzer, known.version) for known in page.analyses]
                + [answer for question, answer in found.items() if question.startswith(("facets", "search"))]
            )
    assert lives[0] == lives[1]


@PAIRS
async def test_one_that_was_cut_off_anywhere_goes_on(
    tmp_path: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.catalog.migration.migration._MOST_RECORDS", 7)
    one, two, _ = await places(first, tmp_path)
    before = await filled(one)
    chance = random.Random(5)  # noqa: S311  no secret
    cuts = 0
    while True:
        try:
            await move(one, two, chance.randrange(30))
            break
        except CutOffError:
            cuts += 1
            with pytest.raises(FailedPreconditionError, match="not complete"):
                await asked(two)
        if cuts == 5:
            await move(one, two)
            break
    assert cuts > 1
    compare(before, await asked(two))


@PAIRS
async def test_records_that_are_there_are_passed_by(tmp_path: Path, first: str) -> None:
    one, two, _ = await places(first, tmp_path)
    before = await filled(one)
    async with open_copy(one) as ours, open_copy(two) as theirs:
        await theirs.begin(ours.place)
        for kind in KINDS:
            records = await ours.read(kind, kind.start, 1_000)
            for _ in range(2):
                await theirs.write(kind, records)
        await theirs.finish()
    compare(before, await asked(two))


_FALSIFIED = (
    ("blobs", "generation"),
    ("analyses", "elapsed_us"),
    ("images", "revision"),
    ("images", "display_name"),
    ("people", "sequence"),
    ("faces", "number"),
    ("batches", "cost_micros"),
    ("items", "error"),
    ("chunks", "successor"),
    ("result_rows", "description"),
    ("caption_cache", "time_us"),
    ("caption_calls", "due_us"),
    ("caption_totals", "reserved_tokens"),
    ("caption_usage", "micros"),
    ("marks", "value"),
)


class Falsified:
    """A side that says of one field of one record what is not so."""

    def __init__(self, side: CatalogCopy, kind: str, field: str) -> None:
        self._side = side
        self._place = (kind, field)

    def __getattr__(self, name: str) -> object:
        return getattr(self._side, name)

    async def write(self, kind: Kind, records: Sequence[Record]) -> None:
        name, field = self._place
        if kind.name == name:
            value = records[-1][field]
            other = value + 1 if isinstance(value, int) else b"\x0a\x01x" if isinstance(value, bytes) else "x"
            records = [*records[:-1], {**records[-1], field: other}]
        await self._side.write(kind, records)


@PAIRS
async def test_a_copy_that_differs_in_one_field_is_found_out(tmp_path: Path, first: str) -> None:
    one, _, _ = await places(first, tmp_path)
    await filled(one)
    for kind, field in _FALSIFIED:
        two = (await places(first, tmp_path / f"{kind} {field}"))[1]
        async with open_copy(one) as ours, open_copy(two) as theirs:
            with pytest.raises(DataLossError, match=rf"{kind} differ, first at .*: they differ in {field}\."):
                await migrate(ours, Falsified(theirs, kind, field), lambda *_: None)  # type: ignore[arg-type]
        with pytest.raises(FailedPreconditionError, match="not complete"):
            await asked(two)


async def test_a_record_too_few_or_too_many_and_a_wrong_count_are_found_out(tmp_path: Path) -> None:
    two = await mongo_options()
    await filled(two)
    for number, (statement, complaint) in enumerate(
        (
            ("DELETE FROM images WHERE number = 2", "images differ, first at 2: only mongodb://.* has it"),
            ("DELETE FROM items WHERE id % 7 = 2", "items differ, first at .*: only mongodb://.* has it"),
            (
                "INSERT INTO result_rows VALUES (1, 'x', 'y', 99, '', '[]', 0)",
                "result_sets differ, first at json a: they differ in row_count",
            ),
            ("UPDATE counters SET count = count + 1 WHERE kind = 'analyses'", "The stats differ"),
            ("UPDATE facets SET count = count + 1 WHERE field = 'tag'", "The counts of tag of all images"),
        )
    ):
        three = tmp_path / f"{number}.sqlite3"
        with pytest.raises(CutOffError):
            # All is copied, and nothing compared.
            async with open_copy(two) as ours, open_copy(three) as theirs:
                await migrate(ours, theirs, stop_at_the_end)
        connection = sqlite3.connect(three)
        connection.execute(statement)
        connection.commit()
        connection.close()
        with pytest.raises(DataLossError, match=complaint):
            await move(two, three)


def stop_at_the_end(_doing: str, kind: Kind, _count: int) -> None:
    if kind.name == "marks":
        raise CutOffError


@PAIRS
async def test_what_holds_something_else_is_refused(tmp_path: Path, first: str) -> None:
    one, two, three = await places(first, tmp_path)
    before = await filled(one)
    async with open_stores(two) as stores:
        await stores.catalog.create_image(new_image("other"), "")
        other = await answers(stores)
    with pytest.raises(FailedPreconditionError, match="holds a catalog already"):
        await move(one, two)
    compare(other, await asked(two))
    with pytest.raises(CutOffError):
        await move(two, fourth := (await places(first, tmp_path / "fourth"))[0], 1)
    with pytest.raises(FailedPreconditionError, match=r"part of a migration of .*, not of"):
        await move(three, fourth)
    with pytest.raises(FailedPreconditionError, match="complete that one first"):
        await move(fourth, three)
    compare(before, await asked(one))


async def test_a_catalog_in_use_is_not_migrated(tmp_path: Path) -> None:
    file, mongo = tmp_path / "one.sqlite3", await mongo_options()
    async with open_stores(file):
        with pytest.raises(FailedPreconditionError, match="stop the suite"):
            await move(file, mongo)
    await filled(mongo)
    async with open_stores(mongo) as stores, open_copy(mongo) as ours, open_copy(file) as theirs:

        class Busy(Falsified):
            async def write(self, kind: Kind, records: Sequence[Record]) -> None:
                await stores.catalog.ping()
                await theirs.write(kind, records)

        with pytest.raises(FailedPreconditionError, match="is in use"):
            await migrate(ours, Busy(theirs, "", ""), lambda *_: None)  # type: ignore[arg-type]


def test_no_column_of_a_copied_table_is_forgotten() -> None:
    """A column that is added later must be copied, or be named here as one that follows from others."""
    derived = {
        "blobs": {"id"},
        "analyses": {"id", "blob_id"},
        "images": {"blob_id", "insights_id", "caption_id"},
        "people": {"listed"},
        "faces": {"x", "y", "width", "height"},
        "batches": {"id"},
        "items": {"id", "batch_id"},
        "chunks": {"batch_id"},
        "result_sets": {"id"},
        "result_rows": {"set_id"},
        "caption_cache": {"id"},
        "caption_calls": set[str](),
        "caption_totals": set[str](),
        "caption_usage": set[str](),
        "marks": set[str](),
    }
    connection = sqlite3.connect(":memory:")
    for migration in sorted((Path(__file__).parents[3] / "services/catalog/sqlite/migrations").glob("*.sql")):
        connection.executescript(migration.read_text(encoding="utf-8"))
    for kind in KINDS:
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({kind.name})")}
        assert columns - set(kind.fields) == derived[kind.name], kind.name
    connection.close()
