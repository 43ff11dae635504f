"""Records of a migration into the collections of MongoDB, with everything that follows from them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne

from services.catalog.migration.records import Kind, Record, face_of, image_of, person_of
from services.catalog.model import ANALYZERS
from services.catalog.mongo.copy_reads import document_id
from services.catalog.mongo.database import MongoDatabase, Session
from services.catalog.mongo.desk import COUNTERS, MongoDesk
from services.catalog.mongo.documents import SEPARATOR, Document, new_document
from services.catalog.mongo.faces import MongoPeopleRows
from services.catalog.mongo.tally import new_blob
from services.catalog.mongo.vocabulary import MongoVocabulary


async def write_records(
    database: MongoDatabase,
    session: Session,
    vocabulary: MongoVocabulary,
    kind: Kind,
    records: Sequence[Record],
) -> None:
    """See ``CatalogCopy.write``; within a transaction."""
    if kind.name == "images":
        desk = MongoDesk(database, session, database.now_us(), vocabulary)
        await _write_images(database, session, desk, records)
    elif kind.name in {"people", "faces"}:
        await _write_people(MongoPeopleRows(database, session), kind, records)
    elif kind.name == "marks":
        await _write_marks(database, session, records)
    else:
        await _write_documents(database, session, kind, records)


async def _write_images(
    database: MongoDatabase, session: Session, desk: MongoDesk, records: Sequence[Record]
) -> None:
    await desk.begin()
    stored = await desk.load_images(record["number"] for record in records)
    new = [record for record in records if record["number"] not in stored]
    for record in new:
        desk.add(_image(record))
    # Faces are records of their own: nothing is said of them here.
    await desk.derive([record["number"] for record in new])
    await desk.finish()
    requests = [
        {"_id": record["request_id"], "number": record["number"], "sha256": record["sha256"]}
        for record in new
        if record["request_id"]
    ]
    if requests:
        await database.collection("requests").insert_many(requests, session=session)


def _image(record: Record) -> Document:
    name = uuid.UUID(bytes=record["uuid"])
    document = new_document(
        image_of(record), record["number"], name, record["request_id"], record["create_time_us"]
    )
    for field in ("error", "corrections", "update_time_us", "process_time_us", "revision"):
        document[field] = record[field]
    for analyzer in ANALYZERS:
        if record[analyzer] is not None:
            key = (record["sha256"], analyzer, *record[analyzer])
            document["shown"][analyzer] = SEPARATOR.join(key)
    if record["delete_time_us"] is not None:
        document |= {"visible": False, "delete_time_us": record["delete_time_us"]}
    return document


async def _write_people(rows: MongoPeopleRows, kind: Kind, records: Sequence[Record]) -> None:
    for record in records:
        if kind.name == "people":
            await rows.put_person(person_of(record))
        else:
            await rows.put_face(face_of(record))


async def _write_marks(database: MongoDatabase, session: Session, records: Sequence[Record]) -> None:
    marks = {record["name"]: record["value"] for record in records}
    await database.collection("counters").update_one(
        {"_id": COUNTERS}, {"$set": {"number": marks["images"]}}, upsert=True, session=session
    )
    await database.collection("marks").update_one(
        {"_id": "people"}, {"$set": {"value": marks["people"]}}, upsert=True, session=session
    )


async def _write_documents(
    database: MongoDatabase, session: Session, kind: Kind, records: Sequence[Record]
) -> None:
    writes = [
        UpdateOne(_where(kind, record), {"$setOnInsert": _document(kind, record)}, upsert=True)
        for record in records
    ]
    await database.collection(kind.name).bulk_write(writes, ordered=False, session=session)
    if kind.name == "analyses":
        # Those of looks come from the same counter.
        last = max(record["sequence"] for record in records)
        await database.collection("counters").update_one(
            {"_id": COUNTERS}, {"$max": {"sequence": last}}, upsert=True, session=session
        )


def _where(kind: Kind, record: Record) -> dict[str, Any]:
    if kind.name in {"items", "chunks"}:
        return {field: record[field] for field in kind.fields[:2]}
    if kind.name == "result_rows":
        paths = {field: record[field] for field in ("scene_path", "image_path")}
        return {"set": f"{record['kind']}:{record['name']}", **paths}
    return {"_id": document_id(kind, kind.key_of(record))}


def _document(kind: Kind, record: Record) -> Document:
    """A document without the fields that it is found by."""
    document = {field: value for field, value in record.items() if field not in _where(kind, record)}
    match kind.name:
        case "blobs":
            blob = new_blob(record["sha256"], record["blob_key"], record["size_bytes"])
            document = {field: value for field, value in blob.items() if field != "_id"}
            document |= {"fate": record["fate"], "generation": record["generation"]}
            if record["garbage_since_us"] is not None:
                document["garbage_since_us"] = record["garbage_since_us"]
        case "batches":
            usage = ("input_tokens", "output_tokens", "cost_micros")
            document["usage"] = [document.pop(field) for field in usage]
            del document["uuid"]
            if not document["request_id"]:
                del document["request_id"]
        case "chunks":
            document["done"] = record["done_time_us"] is not None
        case "caption_cache" | "caption_calls" | "caption_usage":
            del document[kind.fields[0]]
        case "result_sets" | "result_rows":
            del document["kind"], document["name"]
    return document
