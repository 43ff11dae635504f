"""A catalog with something of everything in it, and everything that it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

from services.catalog.captions.model import UsageQuery
from services.catalog.conditions import EVERYTHING, TermField
from services.catalog.ledger.model import BatchChange, BatchQuery, NewBatch
from services.catalog.ledger.states import ItemState
from services.catalog.model import ImageChange, ImageQuery, PageOrder, SearchWords, StrayBlob
from services.catalog.mongo.database import MongoOptions
from services.catalog.names import ImageKey
from services.catalog.people.clusters import PeopleKeeper
from services.catalog.people.model import FaceName, NewFace, PersonChange, ShownFace
from services.catalog.result_sets import ResultRow, SetKey
from services.catalog.sqlite.database import SqliteOptions
from services.catalog.states import ImageState
from services.catalog.stores import Stores, open_mongo_stores, open_sqlite_stores
from services.runtime.errors import NotFoundError
from sightmill.v1 import analyzer_pb2, catalog_pb2, common_pb2
from tests.contract.catalog.adapters import (
    START_US,
    analysis,
    caption,
    digest_of,
    insights,
    new_image,
    outcome,
    write_outcome,
)
from tests.contract.catalog.caption_adapters import BATCH, kept, reservation, settlement
from tests.contract.catalog.ledger_adapters import apply, new_batch, new_parts
from tests.contract.catalog.people_adapters import message_of, shot

Place = Path | MongoOptions
_FIELDS: tuple[TermField, ...] = get_args(TermField)
_COLUMNS = ("number", "name", "title", "caption", "tags", "text", "dominant_colors", "face_count")
_FAR_US = 2**62
_SETS = (SetKey("json", "a"), SetKey("json", "a:b"), SetKey("sql", "a"))


@asynccontextmanager
async def open_stores(place: Place) -> AsyncIterator[Stores]:
    """All stores of a file or of a MongoDB database."""
    opened = open_sqlite_stores(SqliteOptions(place)) if isinstance(place, Path) else open_mongo_stores(place)
    async with opened as stores:
        yield stores


async def fill(stores: Stores) -> None:
    """Puts something of everything into an empty catalog."""
    await _add_images(stores)
    await _add_garbage(stores)
    await _add_people(stores)
    await _add_batches(stores)
    await _add_result_sets(stores)
    await _add_caption_records(stores)


async def answers(stores: Stores) -> dict[str, Any]:
    """What every port answers, by what was asked."""
    return {
        **await _image_answers(stores),
        **await _people_answers(stores),
        **await _ledger_answers(stores),
        **await _caption_answers(stores),
        **{f"rows {key}": await stores.result_sets.list_rows(key, 100) for key in _SETS},
    }


async def _add_images(stores: Stores) -> None:
    catalog = stores.catalog
    states = [state for state in ImageState if state.is_final and state is not ImageState.STORED]
    for number in range(14):
        new = new_image(
            f"photo {number % 9}",
            labels={"ß": "Straße", "k.$1": str(number % 3), "a": ""} if number % 2 else None,
            format_=1 + number % 3,
            name=f"Hafen {number}.jpg",
            batch=f"tour {number % 2}" if number % 4 else "",
        )
        image, _ = await catalog.create_image(new, f"request {number}" if number % 3 else "")
        if number % 5 == 1:
            await catalog.start_images([image.uuid])
        elif number % 5:
            await _finish(stores, image.uuid, f"photo {number % 9}", number, states[number % len(states)])
    await catalog.create_image(new_image("kept only", ImageState.STORED), "kept")
    said = catalog_pb2.Corrections(title="Das Boot", caption="", added_tags=["Segeln"], removed_tags=["sea"])
    await catalog.change_image(3, ImageChange({"x": "y"}, said.SerializeToString()), None)
    for number in (4, 8):
        await catalog.hide_image(number)
    await catalog.hide_image(5)
    await catalog.restore_image(5)


async def _finish(stores: Stores, image: ImageKey, content: str, number: int, state: ImageState) -> None:
    """Two versions of what was found, the later one written last; as with results of all lengths."""
    for version in ("1", "2"):
        found = insights(
            f"Café {number} {version}",
            width=640,
            height=480,
            analyzer_version=version,
            faces=analyzer_pb2.FaceInsight(
                faces=[
                    analyzer_pb2.Face(
                        box=message_of((10 + 100 * place, 10, 50, 50)),
                        confidence=0.1 * (1 + place),
                        descriptor=shot(place + number % 2, number) if number % 3 else (),
                    )
                    for place in range(number % 4)
                ]
            ),
            hashes=analyzer_pb2.Hashes(
                phash=(2**63 + number) * (number % 2) + 7, dhash=number, color_signature=bytes(48)
            ),
            dominant_colors=[
                analyzer_pb2.DominantColor(color=common_pb2.Color(red=40 * (number % 5), green=9, blue=200))
            ],
        )
        made = [analysis(content, version=version, result=found, create_time_us=START_US + number)]
        if number % 3:
            said = caption(f"boat harbour {number}", tags=["sea", "boat"], objects=["mast"], provider="local")
            made.append(analysis(content, "caption", version, "", said, START_US))
        final = state if version == "2" else None
        error = b"" if state is not ImageState.FAILED else b"\x12\x05wrong"
        await write_outcome(stores.catalog, outcome(image, *made, state=final, error=error))


async def _add_garbage(stores: Stores) -> None:
    """Bytes of every fate: collected, collected and there again, condemned, garbage."""
    catalog = stores.catalog
    for fate in ("collected", "again", "condemned", "garbage"):
        image, _ = await catalog.create_image(new_image(fate), "")
        await _finish(stores, image.uuid, fate, 6, ImageState.PROCESSED)
        await catalog.delete_image(image.uuid)
        if fate != "garbage":
            await catalog.condemn_blobs(_FAR_US, 10)
        if fate in {"collected", "again"}:
            await catalog.forget_blobs([digest_of(fate)])
    await catalog.create_image(new_image("again"), "again", 1)
    await catalog.adopt_blobs([StrayBlob(digest_of("stray"), "sha256/stray", 12)])
    # The last number was given out, and is not to be given out again.
    last, _ = await catalog.create_image(new_image("gone"), "gone")
    await catalog.delete_image(last.uuid)


async def _add_people(stores: Stores) -> None:
    people = stores.people
    await PeopleKeeper(people).place_all()
    listed = (await people.list_people(100, None, hidden=True)).people
    await people.update_person(listed[0].uuid, PersonChange("Ada"), None)
    drawn = await people.create_face(NewFace(listed[0].uuid, 3, (1, 2, 3, 4), "drawn"))
    await people.create_face(NewFace(None, 3, (300, 2, 30, 40)))
    await people.update_person(listed[0].uuid, PersonChange(cover=(drawn.face.uuid,)), None)
    faces = await _faces(stores)
    await people.move_face(FaceName(None, faces[0].face.uuid), listed[1].uuid)
    await people.move_face(FaceName(None, faces[1].face.uuid), None)
    await people.ignore_face(FaceName(None, faces[2].face.uuid))
    await people.merge_people(listed[0].uuid, [listed[1].uuid])
    last = (await people.list_people(100, None, hidden=False)).people[-1]
    await people.update_person(last.uuid, PersonChange(hidden=True), None)


async def _add_batches(stores: Stores) -> None:
    ledger = stores.ledger
    await ledger.create_batch(NewBatch("empty", options=b"\x01", weight=3, labels={"ü": "1"}), "empty")
    done = await new_batch(ledger, 3)
    await apply(ledger, done, "sfr")
    await ledger.change_batch(done.uuid, BatchChange("renamed", {"b": "2", "a": "1"}), None)
    failed = await new_batch(ledger, 2)
    await apply(ledger, failed, "ff")
    await ledger.retry_batch(failed.uuid)
    cancelled = await new_batch(ledger, 2)
    await ledger.cancel_batch(cancelled.uuid)
    await new_batch(ledger, 250)
    parent, parts = await new_parts(ledger, 2, 1)
    await ledger.start_batch(parent.uuid)
    await apply(ledger, parts[0], "sr")
    await ledger.pause_batch(parent.uuid)


async def _add_result_sets(stores: Stores) -> None:
    for key in _SETS:
        rows = [
            ResultRow("", f"{place}.jpg", f"Bild {place} of {key.name}", ("a", "ü"), place)
            for place in range(3)
        ]
        await stores.result_sets.put_rows(key, rows[::-1])
        await stores.result_sets.put_rows(key, [ResultRow("", "1.jpg", "other", (), 9), *rows[2:]])


async def _add_caption_records(stores: Stores) -> None:
    """Captions of photos; calls that are held, settled and expired, with a batch and without one."""
    records = stores.caption_records
    await records.keep_captions([kept(key, bytes.fromhex(digest_of(f"photo {key}"))) for key in range(9)])
    calls = [reservation(number, 10, number, batch=BATCH * (number % 2)) for number in range(4)]
    await records.reserve_spend([*calls, reservation(4, ttl_us=0), reservation(5, 0, 0, "local")], [])
    await records.settle_spend([settlement(0), settlement(1), settlement(9, provider="openai")])
    assert await records.expire_calls(10) == 1


async def _caption_answers(stores: Stores) -> dict[str, Any]:
    records = stores.caption_records
    ever = ("2000-01-01", "2999-01-01")
    return {
        "captions": await records.look_up_captions([kept(key).key for key in range(12)]),
        "spend": await records.read_totals(),
        "usage": await records.list_usage(UsageQuery(*ever), 100),
        "usage by batch": await records.list_usage(UsageQuery(*ever, by_batch=True), 100),
        "usage of a batch": await records.list_usage(UsageQuery(*ever, batch=BATCH), 100),
    }


async def _image_answers(stores: Stores) -> dict[str, Any]:
    catalog = stores.catalog
    stats = await catalog.read_stats()
    hidden = await catalog.list_images(ImageQuery(with_hidden=True), PageOrder(1_000), with_results=True)
    images = sorted(hidden.images, key=lambda image: image.number)
    found: dict[str, Any] = {
        "stats": [getattr(stats, name) for name in stats.__slots__ if name != "store"],
        "images": images,
        "hidden": [image.number for image in images if image.delete_time_us],
        "export": await catalog.export_rows(EVERYTHING, _COLUMNS, 1_000, 0),
        "repeated": await stores.looks.list_repeated(100, ""),
        "looks": sorted((row.number, row.look.phash) for row in await stores.looks.read_looks(0, 1_000)),
    }
    for key in ("create_time_us", "size_bytes", "quality"):
        page = await catalog.list_images(ImageQuery(), PageOrder(1_000, key=key), with_results=False)
        found[f"by {key}"] = [image.number for image in page.images]
    for words in (SearchWords(("boat",)), SearchWords(prefixes=("seg", "ha")), SearchWords(("cafe", "7"))):
        page_of_hits = await catalog.search_images(words, EVERYTHING, 100, None)
        found[f"search {words}"] = [(hit.image.number, hit.score) for hit in page_of_hits.hits]
    for batch in ("", "tour 0", "tour 1"):
        for field in _FIELDS:
            found[f"facets {field} {batch}"] = await catalog.list_facets(field, batch, 1_000, None)
    for image in images:
        if not image.delete_time_us:
            page_of_analyses = await catalog.list_analyses(image.number, PageOrder(100))
            found[f"analyses {image.number}"] = page_of_analyses.analyses
    return found


async def _people_answers(stores: Stores) -> dict[str, Any]:
    people = stores.people
    return {
        "people": await people.list_people(100, None, hidden=True),
        "shown": await people.list_people(100, None, hidden=False),
        "faces": await _faces(stores),
        "waiting": await people.faces_to_place(100),
        "likenesses": await people.read_likenesses(0, 100),
    }


async def _faces(stores: Stores) -> list[ShownFace]:
    people = (await stores.people.list_people(100, None, hidden=True)).people
    owners = [None, *(person.uuid for person in people)]
    return [face for owner in owners for face in (await stores.people.list_faces(owner, 1_000, None)).faces]


async def _ledger_answers(stores: Stores) -> dict[str, Any]:
    ledger = stores.ledger
    batches = (await ledger.list_batches(BatchQuery(), 100)).batches
    found: dict[str, Any] = {"batches": batches}
    for batch in batches:
        parts = await ledger.list_batches(BatchQuery(parent=batch.uuid), 100)
        items = await ledger.list_items(batch.uuid, frozenset(), 1_000)
        failed = await ledger.list_items(batch.uuid, frozenset({ItemState.FAILED}), 1_000)
        missing = await ledger.list_missing_chunks(batch.uuid, _FAR_US, 100)
        chunks: list[object] = []
        for number in range(1, batch.chunk_count + 1):
            try:
                chunks.append(await ledger.get_chunk(batch.uuid, number))
            except NotFoundError:
                chunks.append(None)
        found[f"batch {batch.uuid}"] = (parts, items, failed, missing, chunks)
    return found
