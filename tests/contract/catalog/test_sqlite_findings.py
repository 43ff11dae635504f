"""Rows that are derived: after any changes they are what a rebuild makes of the same images."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from services.catalog.model import AnalysisRecord, ImageChange, PageOrder
from services.catalog.sqlite import rebuild as sqlite_rebuild
from services.catalog.sqlite.schema import close_database, open_database
from services.catalog.sqlite.store import SqliteOptions, open_sqlite_store
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from services.runtime.errors import ServiceError
from sightmill.v1 import catalog_pb2
from tests.contract.catalog.adapters import Clock, analysis, caption, insights, new_image, outcome
from tests.contract.catalog.test_store_findings import counts, found

MIGRATIONS = Path(sqlite_rebuild.__file__).parent / "migrations"
DERIVED = {
    "facts": "SELECT * FROM facts",
    "postings": "SELECT field, value, create_time_us, number FROM postings JOIN terms ON id = term_id",
    "facets": """SELECT b.value, f.field, f.value, f.count FROM facets f LEFT JOIN terms b ON b.id = f.scope
        JOIN terms t ON t.id = f.term_id AND t.field = f.field AND t.value = f.value""",
    "sheets": "SELECT * FROM sheets",
    "documents": "SELECT rowid, * FROM documents",
    "looks": "SELECT number, phash, dhash, signature FROM looks",
    "faces": "SELECT number, x, y, width, height, visible FROM faces",
}
# What the counters say, and the same from the rows.
COUNTED = """
    SELECT 'images', 0, count(*) FROM images WHERE delete_time_us IS NULL
    UNION ALL SELECT 'state', state, count(*) FROM images WHERE delete_time_us IS NULL GROUP BY state
    UNION ALL SELECT 'format', format, count(*) FROM images WHERE delete_time_us IS NULL GROUP BY format
    UNION ALL SELECT 'blobs', 0, count(*) FROM blobs WHERE live_count > 0
    UNION ALL SELECT 'blob_bytes', 0, coalesce(sum(size_bytes), 0) FROM blobs WHERE live_count > 0
    UNION ALL SELECT 'analyses', 0, count(*) FROM analyses JOIN blobs b ON b.id = blob_id WHERE ref_count > 0
"""
REFERENCES = """SELECT id, ref_count, live_count FROM blobs EXCEPT
    SELECT b.id, count(i.number), count(i.number) FILTER (WHERE i.delete_time_us IS NULL)
    FROM blobs b LEFT JOIN images i ON i.blob_id = b.id GROUP BY b.id"""


def derived(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    return {name: sorted(connection.execute(select), key=repr) for name, select in DERIVED.items()}


def assert_exact(path: Path) -> None:
    """Counters are those of the rows, and what is derived is what a rebuild derives."""
    connection = open_database(path, 0)
    try:
        counters = connection.execute("SELECT * FROM counters WHERE count > 0").fetchall()
        assert sorted(counters) == sorted(row for row in connection.execute(COUNTED) if row[2])
        assert connection.execute(REFERENCES).fetchall() == []
        assert connection.execute("SELECT count(*) FROM facets WHERE count < 1").fetchone() == (0,)
        kept = derived(connection)
        connection.execute("DELETE FROM marks WHERE name = 'findings_version'")
        sqlite_rebuild.rebuild_findings(connection)
        made = derived(connection)
        for name, rows in kept.items():
            assert rows == made[name], name
    finally:
        close_database(connection, sound=True)


class Changes:
    """Changes of all kinds, as people and workers make them."""

    def __init__(self, store: CatalogStore, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)  # noqa: S311  no secrets are made here
        self._last = 0

    async def make(self) -> None:
        """Makes one change of any kind; refusals are part of life."""
        kinds = (self._create, self._create, self._write, self._write, self._write, self._start, self._say)
        kind = self._random.choice((*kinds, self._hide, self._restore, self._delete, self._sweep))
        try:
            await kind()
        except ServiceError:
            return

    def _number(self) -> int:
        return self._random.randint(1, max(1, self._last))

    def _content(self) -> str:
        return self._random.choice("abcdef")

    async def _create(self) -> None:
        image = new_image(
            self._content(),
            self._random.choice((ImageState.PENDING, ImageState.STORED)),
            {"album": self._random.choice("xy")} if self._random.random() < 0.5 else {},
            batch=self._random.choice(("", "batches/1", "batches/2")),
            name=f"{self._content()}.jpg",
        )
        made, _ = await self._store.create_image(image, "", self._random.randint(0, 2))
        self._last = made.number

    async def _write(self) -> None:
        items = []
        for _ in range(self._random.randint(1, 6)):
            key = self._random.choice((None, self._number(), self._number()))
            content = self._content()
            if key is not None and self._random.random() < 0.9:
                content = await self._content_of(key)
            state = self._random.choice((None, ImageState.PROCESSED, ImageState.PROCESSED, ImageState.FAILED))
            items.append(outcome(key, *self._analyses(content), state=state))
        await self._store.write_outcomes(items)

    async def _content_of(self, number: int) -> str:
        try:
            digest = (await self._store.get_image(number, with_results=False)).image.sha256
        except ServiceError:
            return "a"
        return next(content for content in "abcdef" if new_image(content).sha256 == digest)

    def _analyses(self, content: str) -> list[AnalysisRecord]:
        pick = self._random.choice
        color = {"red": pick((0, 120, 255)), "green": pick((0, 200))}
        found = insights(
            pick(("", "alpha", "beta")),
            dominant_colors=[{"color": color}],
            scene={"type": pick((0, 1, 2))},
            hashes={"phash": pick((1, 2**63)), "dhash": 7},
            faces={"faces": [{"confidence": 0.5, "box": {"x": pick((1, 100)), "width": 9, "height": 9}}]},
        )
        said = caption(
            pick(("gamma", "delta")), tags=[pick("pqr"), pick("pqr")], provider=pick(("", "local"))
        )
        made = [
            analysis(content, "insights", pick("12"), result=found, create_time_us=pick((0, 5, 6))),
            analysis(content, "caption", pick("12"), result=said, create_time_us=pick((0, 5, 6))),
        ]
        return made[: pick((0, 1, 2))]

    async def _start(self) -> None:
        await self._store.start_images([self._number(), self._number()])

    async def _say(self) -> None:
        said = catalog_pb2.Corrections(added_tags=[self._content()], removed_tags=["p"])
        change = ImageChange(labels={"album": self._content()}, corrections=said.SerializeToString())
        await self._store.change_image(self._number(), change, None)

    async def _hide(self) -> None:
        await self._store.hide_image(self._number())

    async def _restore(self) -> None:
        await self._store.restore_image(self._number())

    async def _delete(self) -> None:
        await self._store.delete_image(self._number())

    async def _sweep(self) -> None:
        await self._store.purge_hidden(2**62, 1)
        condemned = await self._store.condemn_blobs(2**62, 2)
        await self._store.forget_blobs([blob.sha256 for blob in condemned[:1]])


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_derived_is_exact_after_any_changes(tmp_path: Path, clock: Clock, seed: int) -> None:
    path = tmp_path / "catalog.sqlite3"
    async with open_sqlite_store(SqliteOptions(path), clock) as store:
        changes = Changes(store, seed)
        for _ in range(150):
            await changes.make()
    assert_exact(path)


def make_version_1(path: Path) -> None:
    """A file as version 1 left it: with own analysis, with the newest of its bytes, under way, hidden."""
    connection = sqlite3.connect(path)
    connection.executescript((MIGRATIONS / "0001_images.sql").read_text(encoding="utf-8"))
    connection.execute("PRAGMA application_id = 0x5369676D")
    connection.execute("PRAGMA user_version = 1")
    digest = bytes.fromhex(new_image().sha256)
    connection.execute(
        "INSERT INTO blobs (id, sha256, blob_key, size_bytes) VALUES (1, ?, 'key', 1000)", (digest,)
    )
    for number, state in ((1, 3), (2, 4), (3, 1), (4, 3)):
        connection.execute(
            """INSERT INTO images (number, uuid, blob_id, state, size_bytes, format, width, height,
                   frame_count, color_mode, display_name, labels, batch, process_options, create_time_us,
                   update_time_us)
               VALUES (?, ?, 1, ?, 1000, 1, 640, 480, 1, 'RGB', 'sea.jpg', '{"a":"b"}', '', x'', 5, 5)""",
            (number, bytes([number] * 16), state),
        )
    # Each by an update of its own, as the triggers of version 1 count.
    connection.execute("UPDATE images SET delete_time_us = 9 WHERE number = 4")
    for analysis_id, result in ((1, insights("old", faces={"faces": [{}]})), (2, insights("new"))):
        connection.execute(
            "INSERT INTO analyses VALUES (?, 1, 'insights', ?, 'aa', ?, 1, ?)",
            (analysis_id, str(analysis_id), analysis_id, result),
        )
    connection.execute("UPDATE images SET insights_id = 1 WHERE number IN (1, 4)")
    connection.commit()
    connection.close()


async def test_a_file_of_version_1_is_found_by_everything(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "catalog.sqlite3"
    make_version_1(path)
    async with open_sqlite_store(SqliteOptions(path), clock) as store:
        assert await counts(store, "state") == {"1": 1, "3": 1, "4": 1}
        assert await counts(store, "label") == {"a=b": 3}
        assert [await found(store, word) for word in ("sea", "old", "new")] == [[3, 2, 1], [1], [2]]
        shown = [(await store.get_image(number, with_results=True)).insights for number in (1, 2, 3)]
        assert shown == [insights("old", faces={"faces": [{}]}), insights("new"), None]
        assert len((await store.list_analyses(1, PageOrder(10))).analyses) == 2
        await store.restore_image(4)
        assert await found(store, "old") == [4, 1]
        stats = await store.read_stats()
        assert (stats.image_count, stats.blob_count, stats.analysis_count) == (4, 1, 2)
    assert_exact(path)


async def test_findings_of_another_version_are_made_anew(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalog.sqlite3"
    async with open_sqlite_store(SqliteOptions(path), clock) as store:
        for number in range(1, 8):
            await store.create_image(new_image(f"{number}", name=f"img{number}.jpg"), "")
        await store.hide_image(3)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM facts")
    connection.execute("UPDATE facets SET count = 99")
    connection.commit()
    connection.close()
    # Steps smaller than the catalog, the last one not full.
    monkeypatch.setattr(sqlite_rebuild, "_STEP", 2)
    monkeypatch.setattr(sqlite_rebuild, "FINDINGS_VERSION", 2)
    async with open_sqlite_store(SqliteOptions(path), clock) as store:
        assert await counts(store, "state") == {"1": 6}
        assert await found(store, "img7") == [7]
        assert await found(store, "img3") == []
    assert_exact(path)


async def test_a_rebuild_that_was_cut_off_begins_again(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalog.sqlite3"
    async with open_sqlite_store(SqliteOptions(path), clock) as store:
        for number in range(1, 8):
            await store.create_image(new_image(f"{number}"), "")
    monkeypatch.setattr(sqlite_rebuild, "_STEP", 2)
    monkeypatch.setattr(sqlite_rebuild, "FINDINGS_VERSION", 2)
    rebuild, steps = sqlite_rebuild._rebuild, iter(range(10))

    def cut_off(connection: sqlite3.Connection, numbers: list[int]) -> None:
        if next(steps) == 2:
            raise KeyboardInterrupt
        rebuild(connection, numbers)

    monkeypatch.setattr(sqlite_rebuild, "_rebuild", cut_off)
    with pytest.raises(KeyboardInterrupt):
        open_database(path, 0)
    monkeypatch.setattr(sqlite_rebuild, "_rebuild", rebuild)
    async with open_sqlite_store(SqliteOptions(path), clock) as store:
        assert await counts(store, "state") == {"1": 7}
