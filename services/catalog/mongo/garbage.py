"""Deleting for good: images, and the bytes that nothing refers to any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.catalog.blob_rules import BlobFate
from services.catalog.model import CondemnedBlob, StrayBlob
from services.catalog.mongo.caption_records import forget_captions
from services.catalog.mongo.database import MongoDatabase, Session
from services.catalog.mongo.desk import MongoDesk
from services.catalog.mongo.documents import Document
from services.catalog.mongo.tally import new_blob
from services.catalog.names import ImageKey, image_not_found

# As plain numbers, which is what documents hold.
_KEPT, _CONDEMNED, _COLLECTED = (fate.value for fate in BlobFate)


async def delete_image(database: MongoDatabase, session: Session, desk: MongoDesk, key: ImageKey) -> None:
    """See ``CatalogStore.delete_image``."""
    await desk.begin()
    known = await desk.load_images([key])
    if key not in known:
        raise image_not_found(key)
    await _delete(database, session, desk, known.values())


async def purge_hidden(
    database: MongoDatabase, session: Session, desk: MongoDesk, before_us: int, most: int
) -> int:
    """See ``CatalogStore.purge_hidden``."""
    await desk.begin()
    cursor = database.collection("images").find(
        {"delete_time_us": {"$gt": 0, "$lt": before_us}}, {"_id": 1}, session=session
    )
    rows = await cursor.sort([("delete_time_us", 1), ("_id", 1)]).limit(most).to_list(None)
    known = await desk.load_images(row["_id"] for row in rows)
    await _delete(database, session, desk, known.values())
    return len(known)


async def condemn_blobs(
    database: MongoDatabase, session: Session, before_us: int, most: int
) -> list[CondemnedBlob]:
    """See ``CatalogStore.condemn_blobs``."""
    found: list[Document] = []
    for fate, since in (
        (_CONDEMNED, {"$gt": 0}),
        (_KEPT, {"$gt": 0, "$lt": before_us}),
    ):
        cursor = database.collection("blobs").find({"fate": fate, "garbage_since_us": since}, session=session)
        found += await cursor.sort([("garbage_since_us", 1), ("_id", 1)]).limit(most).to_list(None)
    found = sorted(found, key=lambda blob: (blob["garbage_since_us"], blob["_id"]))[:most]
    digests = sorted(blob["_id"] for blob in found if blob["fate"] == _KEPT)
    if digests:
        await database.collection("blobs").update_many(
            {"_id": {"$in": digests}}, {"$set": {"fate": _CONDEMNED}}, session=session
        )
        await database.collection("analyses").delete_many({"sha256": {"$in": digests}}, session=session)
    return [CondemnedBlob(blob["_id"], blob["blob_key"]) for blob in found]


async def forget_blobs(database: MongoDatabase, session: Session, digests: Sequence[str]) -> None:
    """See ``CatalogStore.forget_blobs``."""
    await database.collection("blobs").update_many(
        {"_id": {"$in": sorted(set(digests))}, "fate": _CONDEMNED},
        {
            "$set": {"fate": _COLLECTED},
            "$inc": {"generation": 1},
            "$unset": {"garbage_since_us": ""},
        },
        session=session,
    )
    await forget_captions(database, session, digests)


async def adopt_blobs(
    desk: MongoDesk, database: MongoDatabase, session: Session, blobs: Sequence[StrayBlob]
) -> int:
    """See ``CatalogStore.adopt_blobs``."""
    strays = {blob.sha256: blob for blob in blobs}
    await desk.load_blobs(strays)
    adopted = [
        {**new_blob(digest, stray.blob_key, stray.size_bytes), "garbage_since_us": desk.now_us}
        for digest, stray in sorted(strays.items())
        if digest not in desk.blobs
    ]
    if adopted:
        await database.collection("blobs").insert_many(adopted, session=session)
    return len(adopted)


async def _delete(
    database: MongoDatabase, session: Session, desk: MongoDesk, images: Iterable[Document]
) -> None:
    requests = []
    for image in images:
        desk.drop(image["_id"])
        requests.append(image["request_id"])
    await database.collection("requests").delete_many(
        {"_id": {"$in": sorted(set(requests) - {""})}}, session=session
    )
    await desk.finish()
