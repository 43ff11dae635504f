"""Rows of an export, over every store."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence

from google.rpc import status_pb2

from services.catalog.conditions import EVERYTHING, Condition, Not, Term, Within, all_of
from services.catalog.export.columns import COLUMNS, ENTERPRISE, choose_columns
from services.catalog.export.lines import (
    NUMBER_END,
    NUMBER_START,
    TEXT_END,
    TEXT_START,
    CellLines,
    CsvLines,
    JsonLines,
    Lines,
    as_lines,
)
from services.catalog.model import ImageChange
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from sightmill.v1 import analyzer_pb2, catalog_pb2
from tests.contract.catalog.adapters import (
    Clock,
    analysis,
    caption,
    new_image,
    outcome,
    write_outcome,
)

STORED = tuple(column.stored for column in COLUMNS)


async def export(
    store: CatalogStore, columns: Sequence[str], condition: Condition = EVERYTHING, size: int = 3
) -> list[tuple[object, ...]]:
    """All rows, page by page."""
    rows: list[tuple[object, ...]] = []
    after: int | None = 0
    while after is not None:
        page, after = await store.export_rows(condition, columns, size, after)
        assert len(page) <= size
        rows += page
    return rows


def measured(text: str = "OPEN", taken_us: int = -1_500_000, contrast: float = 12.25) -> bytes:
    insights = analyzer_pb2.Insights(analyzer_version="1.4.0")
    insights.luminance.brightness = 134
    insights.luminance.contrast = contrast
    insights.luminance.blur_level = analyzer_pb2.BLUR_LEVEL_LOW
    insights.luminance.quality_score = 71.5
    insights.scene.type = analyzer_pb2.SCENE_TYPE_NATURE
    insights.text.text = text
    insights.exif.camera_model = "Canon EOS R5"
    insights.exif.taken_time.FromMicroseconds(taken_us)
    insights.exif.location.latitude = -47.25
    insights.hashes.phash = 2**63 + 1
    insights.faces.faces.add()
    return insights.SerializeToString()


async def add(store: CatalogStore, content: str, text: str, said: str, **labels: str) -> int:
    """An image with everything."""
    image, _ = await store.create_image(new_image(content, labels=labels, name=f"{content}.jpg"), "")
    await write_outcome(
        store,
        outcome(
            image.number,
            analysis(content, result=measured(text)),
            analysis(content, "caption", result=caption(said, tags=["Boat", "sea"], provider="mistral")),
            state=ImageState.PROCESSED,
        ),
    )
    return image.number


async def test_a_row_has_all_that_is_known(store: CatalogStore, clock: Clock) -> None:
    clock.now_us, clock.step_us = 1_700_000_000_123_456, 0
    number = await add(store, "harbour", "OPEN\nDAILY", "A boat.", album="sea")
    image = await store.get_image(number, with_results=False)
    (row,) = await export(store, STORED)
    found = dict(zip(STORED, row, strict=True))
    found["labels"] = json.loads(str(found["labels"]))
    expected = {
        "name": f"images/{image.uuid}",
        "number": number,
        "display_name": "harbour.jpg",
        "state": "PROCESSED",
        "title": None,
        "caption": "A boat.",
        "tags": "boat, sea",
        "text": "OPEN\nDAILY",
        "face_count": 1,
        "scene": "NATURE",
        "quality_score": 71.5,
        "blur_level": "LOW",
        "brightness": 134,
        "contrast": 12.25,
        "labels": {"album": "sea"},
        "batch": "",
        "camera_model": "Canon EOS R5",
        "taken_time": "1969-12-31T23:59:58.500Z",
        "latitude": -47.25,
        "format": "JPEG",
        "size_bytes": 1_000,
        "sha256": image.image.sha256,
        "phash": "8000000000000001",
        "caption_provider": "mistral",
        "caption_degraded": 0,
        "create_time": "2023-11-14T22:13:20.123Z",
        "process_time": "2023-11-14T22:13:20.123Z",
        "error_reason": None,
    }
    assert {name: found[name] for name in expected} == expected


async def test_an_image_without_results_has_empty_cells(store: CatalogStore) -> None:
    await store.create_image(new_image(), "")
    columns = ("state", "caption", "quality_score", "process_time", "taken_time", "labels.album", "labels")
    assert await export(store, columns) == [("PENDING", None, None, None, None, None, "{}")]


async def test_a_failed_image_says_why(store: CatalogStore) -> None:
    image, _ = await store.create_image(new_image(), "")
    error = status_pb2.Status(code=3, message="No picture.").SerializeToString()
    await write_outcome(store, outcome(image.number, state=ImageState.FAILED, error=error))
    assert await export(store, ("state", "error_message")) == [("FAILED", "No picture.")]


async def test_rows_come_by_number_each_once_without_what_is_deleted(store: CatalogStore) -> None:
    numbers = [(await store.create_image(new_image(str(n)), ""))[0].number for n in range(8)]
    await store.hide_image(numbers[2])
    await store.delete_image(numbers[5])
    kept = [number for number in numbers if number not in (numbers[2], numbers[5])]
    for size in (1, 3, 6, 100):
        assert [row[0] for row in await export(store, ("number",), size=size)] == kept
    await store.restore_image(numbers[2])
    assert (numbers[2],) in await export(store, ("number",))


async def test_images_that_come_meanwhile_neither_repeat_nor_hide_others(store: CatalogStore) -> None:
    first = [(await store.create_image(new_image(str(n)), ""))[0].number for n in range(4)]
    page, after = await store.export_rows(EVERYTHING, ("number",), 3, 0)
    assert after is not None
    added = (await store.create_image(new_image("late"), ""))[0].number
    rest, end = await store.export_rows(EVERYTHING, ("number",), 3, after)
    assert [number for (number,) in (*page, *rest)] == [*first, added]
    assert end is None


async def test_an_empty_catalog_is_one_empty_page(store: CatalogStore) -> None:
    assert await store.export_rows(EVERYTHING, ("number",), 10, 0) == ([], None)


async def test_only_what_meets_the_condition_is_exported(store: CatalogStore) -> None:
    first = await add(store, "a", "", "A boat.", album="sea")
    second = await add(store, "b", "", "A hill.", album="land")
    third = (await store.create_image(new_image("c", width=9_000), ""))[0].number
    for condition, expected in (
        (Term("label", "album=sea"), [first]),
        (Not(Term("state", str(int(ImageState.PROCESSED)))), [third]),
        (all_of((Term("tag", "boat"), Within("quality", 7_000, 8_000))), [first, second]),
        (Term("tag", "nothing"), []),
    ):
        for columns in (("number",), JsonLines.of(choose_columns(["number"]))):
            rows = await export(store, columns, condition)
            assert [json.loads(str(row[0])) for row in rows] in (
                expected,
                [{"number": number} for number in expected],
            )


async def test_what_people_said_is_exported(store: CatalogStore) -> None:
    number = await add(store, "a", "", "A boat.")
    said = catalog_pb2.Corrections(caption="My boat.", title="=Summer", removed_tags=["sea"])
    await store.change_image(number, ImageChange(corrections=said.SerializeToString()), None)
    assert await export(store, ("caption", "title", "tags")) == [("My boat.", "=Summer", "boat")]


async def test_labels_fill_the_enterprise_columns(store: CatalogStore) -> None:
    await add(store, "a", "OPEN", "A shop.", serial_number="7", business_name="Käse & Co", phone_match="Yes")
    names = [column.name for column in ENTERPRISE]
    (row,) = await export(store, [column.stored for column in ENTERPRISE])
    found = dict(zip(names, row, strict=True))
    assert (found["serial_number"], found["business_name"], found["phone_match"]) == ("7", "Käse & Co", "Yes")
    assert (found["ai_detected_text"], found["image_description"]) == ("OPEN", "A shop.")
    assert (found["storefront_photo_url"], found["store_front_match_score"]) == (None, None)


HOSTILE = (
    '=HYPERLINK("http://evil.example")',
    "+49 (30) 123-456",
    "\t=1",
    "\0=1",
    "\x01=1",
    "a\0b",
    'quote " and, comma',
    "line\r\nbreak",
    "<b>&amp;</b>\x1f",
    "\ufffe 🙂",
    ":Inf,",
    "%s %w %",
    "y" * 40_000,
)


async def test_lines_say_the_same_as_values_however_hostile(store: CatalogStore) -> None:
    for index, text in enumerate(HOSTILE):
        await add(store, str(index), text[:15_000], text, note=text[:60].replace("\0", ""))
    image, _ = await store.create_image(new_image("infinite"), "")
    wrong = measured(contrast=math.inf)
    await write_outcome(store, outcome(image.number, analysis("infinite", result=wrong)))
    rows = await export(store, STORED, size=4)
    assert [row[STORED.index("caption")] for row in rows] == [*HOSTILE, None]
    (*_, (last,)) = await export(store, CsvLines.of(choose_columns(["contrast"])))
    assert last == '""'
    for kind in (JsonLines, CsvLines, CellLines):
        lines = kind.of(COLUMNS)
        found = [str(line) for (line,) in await export(store, lines, size=4)]
        expected = [line for (line,) in as_lines(lines, rows)]  # type: ignore[arg-type]  # values of columns
        assert list(map(parse(lines), found)) == list(map(parse(lines), expected))


def parse(lines: Lines):  # type: ignore[no-untyped-def]  # what a line says depends on its kind
    if isinstance(lines, JsonLines):
        return json.loads
    if isinstance(lines, CsvLines):
        return lambda line: next(csv.reader(io.StringIO(line, newline="")))
    # An empty number and an empty text are both nothing.
    return lambda line: line.replace(NUMBER_START + NUMBER_END, TEXT_START + TEXT_END)


async def test_more_columns_than_one_call_of_sql_takes(store: CatalogStore) -> None:
    await add(store, "a", "", "A boat.", k1="one", k119="last")
    columns = choose_columns([f"labels.k{number}" for number in range(120)])
    (row,) = await export(store, JsonLines.of(columns))
    found = json.loads(str(row[0]))
    assert len(found) == 120
    assert (found["labels.k1"], found["labels.k119"], found["labels.k2"]) == ("one", "last", None)
