"""`sightmill images`, `people`, `facets`, `stats`, `export` as real processes against a real catalog."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sightmill.client import Client
from sightmill.v1 import analyzer_pb2, catalog_pb2, catalog_pb2_grpc
from tests.contract.catalog.adapters import digest_of
from tests.contract.catalog.catalog_process import start_process
from tests.contract.catalog.messages import caption_of, create, done
from tests.servers.waiting import until

WAIT_S = 60.0
START_S = 30.0
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ended:
    """A finished process."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(slots=True)
class Catalog:
    """A running catalog, and the command line that talks to it."""

    address: str
    client: Client

    @property
    def stub(self) -> catalog_pb2_grpc.CatalogServiceAsyncStub:
        return self.client._catalog

    async def add(self, content: str, said: str = "", **fields: object) -> catalog_pb2.Image:
        """An image that is processed."""
        image = (await self.stub.CreateImage(create(content, **fields))).image  # type: ignore[arg-type]
        insights = analyzer_pb2.Insights(analyzer_version="1")
        insights.luminance.quality_score = 71.5
        analysis = catalog_pb2.Analysis(
            sha256=digest_of(content),
            analyzer="insights",
            version="1",
            settings_digest="0011223344556677",
            insights=insights,
        )
        for number in range(2 if content == "faces" else 0):
            face = insights.faces.faces.add(confidence=0.9, box={"x": 1, "y": 2, "width": 30, "height": 40})
            face.descriptor.extend(1.0 if n == number else 0.0 for n in range(128))
        analysis.insights.CopyFrom(insights)
        answers = self.stub.WriteAnalyses(iter([done("k", image.name, analysis, caption_of(content, said))]))
        assert [answer.error.message async for answer in answers] == [""]
        return image

    async def run(self, *arguments: str | Path, typed: str = "", columns: int = 80) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "sightmill.cli", *map(str, arguments)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "COLUMNS": str(columns),
                "PYTHONPATH": str(ROOT),
                "SIGHTMILL_ADDRESS": self.address,
                "TZ": "UTC",
            },
        )
        async with asyncio.timeout(WAIT_S):
            out, err = await process.communicate(typed.encode())
        return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    process = await start_process(tmp_path / "data")
    try:
        assert process.stdout
        async with asyncio.timeout(START_S):
            ready = (await process.stdout.readline()).decode()
        address = ready.split()[2].removeprefix("grpc=")
        async with Client(address, timeout_s=20) as client:
            yield Catalog(address, client)
    finally:
        process.kill()
        await process.communicate()


def fits(text: str, columns: int = 80) -> bool:
    return all(len(line) <= columns for line in text.splitlines())


async def test_images_are_listed_shown_found_and_counted(catalog: Catalog) -> None:
    first = await catalog.add("a", "A boat in the old harbour.", display_name="harbour\x1b[31m.jpg")
    await catalog.add("b", "A hill.", display_name=f"{'very-' * 20}long.jpg", labels={"album": "land"})
    listed = await catalog.run("images", "ls")
    assert (listed.code, listed.err) == (0, "")
    assert fits(listed.out), listed.out
    header, *rows = listed.out.splitlines()
    assert header.split() == ["Number", "File", "State", "Pixels", "Size", "Stored"]
    assert [word in listed.out for word in ("harbour [31m.jpg", "processed", "640x480", "1.2 kB")] == [
        True
    ] * 4
    assert rows[0].split()[0] == "2"
    filtered = await catalog.run("images", "ls", "--filter", 'labels.album = "land"', "--json")
    assert [image["number"] for image in filtered.documents] == ["2"]
    cut = await catalog.run("images", "ls", "--limit", "1")
    assert (cut.out.count("processed"), cut.err) == (1, "There are more: --limit is 1.\n")
    nothing = await catalog.run("images", "ls", "--filter", "width > 9000")
    assert (nothing.code, nothing.out) == (0, "No image meets the condition.\n")

    shown = await catalog.run("images", "show", "1")
    assert fits(shown.out), shown.out
    assert [
        word in shown.out for word in (first.name, "album=sea", "A boat in the old harbour.", "boat, sea")
    ] == [True] * 4
    document = json.loads((await catalog.run("images", "show", first.name, "--json")).out)
    assert (document["name"], document["caption"]["text"]) == (first.name, "A boat in the old harbour.")

    found = await catalog.run("images", "search", '"old harb*" boat')
    assert found.code == 0
    hits = await catalog.run("images", "search", "boat harbour", "--json")
    assert [hit["image"]["number"] for hit in hits.documents] == ["1"]  # type: ignore[index]
    table = await catalog.run("images", "search", "harbour")
    assert fits(table.out), table.out
    assert "harbour" in table.out.splitlines()[1]
    missed = await catalog.run("images", "search", "submarine")
    assert (missed.code, missed.out.startswith("Nothing found.")) == (0, True)

    tags = await catalog.run("facets", "tag")
    assert [line.split() for line in tags.out.splitlines()] == [
        ["tag", "Images"],
        ["boat", "2"],
        ["sea", "2"],
    ]
    stats = await catalog.run("stats")
    assert fits(stats.out), stats.out
    assert "sqlite" in stats.out
    assert json.loads((await catalog.run("stats", "--json")).out)["image_count"] == "2"


async def test_images_are_deleted_after_a_yes_only(catalog: Catalog) -> None:
    for content in ("a", "b", "c"):
        await catalog.add(content)
    refused = await catalog.run("images", "rm", "1", typed="n\n")
    assert (refused.code, "Delete 1 image softly?" in refused.err, refused.out.strip()) == (1, True, "")
    assert (await catalog.client.get_image(1)).number == 1
    deleted = await catalog.run("images", "rm", "1", "2", typed="y\n")
    assert (deleted.code, "Deleted 2 images. They can be taken back" in deleted.out) == (0, True)
    kept = [image.number async for image in catalog.client.list_images(show_deleted=True)]
    assert sorted(kept) == [1, 2, 3]
    gone = await catalog.run("images", "rm", "3", "--force", "--yes", "--json")
    assert gone.documents == [{"name": "images/3", "deleted": True}]
    kept = [image.number async for image in catalog.client.list_images(show_deleted=True)]
    assert sorted(kept) == [1, 2]
    unknown = await catalog.run("images", "rm", "99", "--yes")
    assert (unknown.code, unknown.out) == (1, "")
    assert "images/99: IMAGE_NOT_FOUND" in unknown.err


async def test_duplicates_are_shown_and_all_but_the_keepers_deleted(catalog: Catalog) -> None:
    for content in ("same", "same", "same", "other"):
        await catalog.add(content)
    shown = await catalog.run("images", "dupes")
    assert fits(shown.out), shown.out
    assert len([line for line in shown.out.splitlines() if "sea.jpg" in line]) == 3
    (kept,) = [line for line in shown.out.splitlines() if line.startswith("keep")]
    (group,) = (await catalog.run("images", "dupes", "--json")).documents
    assert len(group["images"]) == 3  # type: ignore[arg-type]
    refused = await catalog.run("images", "dupes", "--rm", typed="\n")
    assert (refused.code, "Delete 2 images softly, and keep 1?" in refused.err) == (1, True)
    deleted = await catalog.run("images", "dupes", "--rm", "--yes")
    assert (deleted.code, "Deleted 2 images." in deleted.out) == (0, True)
    left = [str(image.number) async for image in catalog.client.list_images()]
    assert left == ["4", kept.split()[1]]
    assert (await catalog.run("images", "dupes")).out == "No duplicates.\n"


async def test_people_are_named_merged_and_hidden(catalog: Catalog) -> None:
    await catalog.add("faces")

    async def are_there() -> bool:
        return len([person async for person in catalog.client.list_people()]) == 2

    await until(are_there, "two people", WAIT_S)
    listed = await catalog.run("people", "ls")
    assert fits(listed.out), listed.out
    one, two = [line.split()[0] for line in listed.out.splitlines()[1:]]
    named = await catalog.run("people", "name", one, "Ada Lovelace")
    assert (named.code, "Ada Lovelace" in named.out) == (0, True)
    shown = await catalog.run("people", "show", one)
    assert fits(shown.out), shown.out
    assert ("Ada Lovelace" in shown.out, "30x40 at 1,2" in shown.out) == (True, True)
    document = json.loads((await catalog.run("people", "show", one, "--json")).out)
    assert (document["person"]["display_name"], len(document["faces"])) == ("Ada Lovelace", 1)
    merged = json.loads((await catalog.run("people", "merge", one, two, "--json")).out)
    assert merged["face_count"] == "2"
    back = json.loads((await catalog.run("people", "unmerge", one, two, "--json")).out)
    assert back["name"] == f"people/{two}"
    assert json.loads((await catalog.run("people", "hide", two, "--json")).out)["hidden"] is True
    assert len((await catalog.run("people", "ls", "--json")).documents) == 1
    assert len((await catalog.run("people", "ls", "--json", "--hidden")).documents) == 2
    unknown = await catalog.run("people", "show", "0199f0c2-0000-7000-8000-000000000000")
    assert (unknown.code, "PERSON_NOT_FOUND" in unknown.err) == (1, True)


async def test_a_table_is_exported_by_the_ending_of_its_file(catalog: Catalog, tmp_path: Path) -> None:
    await catalog.add("a", "=1+1", labels={"album": "sea"})
    await catalog.add("b", "A hill.", labels={"album": "land"})
    table = tmp_path / "photos.csv"
    written = await catalog.run(
        *("export", table, "--columns", "number, caption", "--filter", 'labels.album = "sea"')
    )
    assert (written.code, written.err) == (0, "")
    assert "".join(written.out.split()).startswith(f"Wrote{table},")
    rows = list(csv.reader(io.StringIO(table.read_text("utf-8-sig"))))
    assert rows == [["number", "caption"], ["1", "'=1+1"]]

    lines = await catalog.run("export", "-", "--format", "ndjson", "--query", '{"labels": {"album": "land"}}')
    (row,) = lines.documents
    assert (row["number"], row["caption"], row["labels"]) == (2, "A hill.", {"album": "land"})

    database = tmp_path / "photos.db"
    document = json.loads((await catalog.run("export", database, "--json")).out)
    assert document == {"file": str(database), "size_bytes": database.stat().st_size}
    with sqlite3.connect(database) as opened:
        assert opened.execute("SELECT caption FROM images ORDER BY number").fetchall() == [
            ("=1+1",),
            ("A hill.",),
        ]
    opened.close()


async def test_an_export_that_fails_leaves_the_old_file_and_no_other(
    catalog: Catalog, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    old = folder / "photos.json"
    old.write_text("old")
    refused = await catalog.run("export", old, "--columns", "nmae")
    assert (refused.code, refused.out) == (1, "")
    assert ("INVALID_FIELD" in refused.err, "There is no column 'nmae'" in refused.err) == (True, True)
    assert [path.name for path in folder.iterdir()] == ["photos.json"]
    assert old.read_text() == "old"
    unknown = await catalog.run("export", folder / "photos.doc")
    assert (unknown.code, "give --format" in unknown.err) == (2, True)
    wrong = await catalog.run("export", folder / "a.csv", "--query", "{")
    assert (wrong.code, "--query" in wrong.err) == (2, True)
    nowhere = await catalog.run("export", folder / "missing" / "a.csv")
    assert (nowhere.code, "cannot be written: No such file" in nowhere.err) == (1, True)


async def test_errors_say_what_to_do(catalog: Catalog) -> None:
    wrong = await catalog.run("images", "ls", "--filter", "widht > 3")
    assert (wrong.code, wrong.out) == (1, "")
    assert ("INVALID_FILTER" in wrong.err, "width" in wrong.err) == (True, True)
    away = await catalog.run("stats", "--address", "127.0.0.1:1", "--timeout", "1")
    assert (away.code, "sightmill up" in " ".join(away.err.split())) == (1, True)
    usage = await catalog.run("images", "ls", "--limit", "0")
    assert usage.code == 2
