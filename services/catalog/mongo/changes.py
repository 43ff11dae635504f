"""Changes to images, each within one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from services.catalog.blob_rules import refuse_lost_bytes, refuse_other_facts
from services.catalog.model import ANALYZERS, ImageChange, ImageRecord, NewImage
from services.catalog.mongo.database import MongoDatabase, Session
from services.catalog.mongo.desk import MongoDesk
from services.catalog.mongo.documents import Document, labels_of, new_document, record_of, term_of
from services.catalog.mongo.tally import new_blob
from services.catalog.names import ImageKey, image_not_found
from services.catalog.states import ImageState, started
from services.runtime.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    Reason,
)


async def create_image(
    desk: MongoDesk, new: NewImage, blob_generation: int, request_id: str, name: uuid.UUID
) -> ImageRecord:
    """See ``CatalogStore.create_image``; ``name`` is for the new image."""
    number = await desk.begin(numbers=1)
    await desk.load_blobs([new.sha256])
    blob = desk.blobs.setdefault(new.sha256, new_blob(new.sha256, new.blob_key, new.size_bytes))
    refuse_other_facts(new, blob["blob_key"], blob["size_bytes"])
    refuse_lost_bytes(blob["fate"], blob["generation"], blob_generation)
    image = new_document(new, number, name, request_id, desk.now_us)
    if new.state.is_final:
        await desk.load_analyses([new.sha256])
        show_newest(desk, image)
    desk.add(image)
    await desk.derive([number], looked=[number])
    await desk.finish()
    return record_of(image)


async def find_request(
    database: MongoDatabase, session: Session, request_id: str, sha256: str
) -> ImageRecord | None:
    """The image that a request made; raises ``AlreadyExistsError(REQUEST_ID_REUSED)``."""
    if not request_id:
        return None
    known = await database.collection("requests").find_one({"_id": request_id}, session=session)
    if known is None:
        return None
    if known["sha256"] != sha256:
        raise AlreadyExistsError(
            Reason.REQUEST_ID_REUSED,
            "This request_id came with other bytes before; use a new one for each image.",
            request_id=request_id,
        )
    return record_of(await database.collection("images").find_one({"_id": known["number"]}, session=session))


async def change_image(
    desk: MongoDesk, key: ImageKey, change: ImageChange, revision: int | None
) -> ImageRecord:
    """See ``CatalogStore.change_image``."""
    await desk.begin()
    image = await _load(desk, key)
    if not image["visible"]:
        raise image_not_found(key)
    if revision is not None and revision != image["revision"]:
        raise AbortedError(
            Reason.ETAG_MISMATCH, "The image changed since it was read; read it again and repeat the change."
        )
    if change.labels is not None:
        image["labels"] = labels_of(change.labels)
    if change.corrections is not None:
        image["corrections"] = change.corrections
    desk.touch(image)
    await desk.derive([image["_id"]])
    await desk.finish()
    return record_of(image)


async def hide_image(desk: MongoDesk, key: ImageKey) -> None:
    """See ``CatalogStore.hide_image``."""
    await desk.begin()
    image = await _load(desk, key)
    if not image["visible"]:
        raise image_not_found(key)
    image["delete_time_us"] = desk.now_us
    desk.touch(image)
    desk.show(image["_id"], visible=False)
    await desk.finish()


async def restore_image(desk: MongoDesk, key: ImageKey) -> ImageRecord:
    """See ``CatalogStore.restore_image``."""
    await desk.begin()
    image = await _load(desk, key)
    if image["visible"]:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            "The image is not deleted; there is nothing to take back.",
            state="not deleted",
        )
    del image["delete_time_us"]
    desk.touch(image)
    desk.show(image["_id"], visible=True)
    await desk.derive([image["_id"]])
    await desk.finish()
    return record_of(image)


async def start_images(desk: MongoDesk, keys: Sequence[ImageKey]) -> None:
    """Marks images as being processed; passes by what does not exist."""
    await desk.begin()
    for image in (await desk.load_images(keys)).values():
        state = ImageState(image["state"])
        if image["visible"] and started(state) is not state:
            _move(image, started(state))
            desk.touch(image)
    await desk.finish()


def show_newest(desk: MongoDesk, image: Document) -> None:
    """What an image that enters a final state shows where nothing was written for itself."""
    for analyzer in ANALYZERS:
        newest = desk.newest(image["sha256"], analyzer)
        if analyzer not in image["shown"] and newest:
            image["shown"][analyzer] = newest


def _move(image: Document, state: ImageState) -> None:
    """Another state that changes nothing else that is found."""
    before, after = (term_of("state", str(number)) for number in (image["state"], int(state)))
    image["terms"] = [after if term == before else term for term in image["terms"]]
    image["state"] = int(state)


async def _load(desk: MongoDesk, key: ImageKey) -> Document:
    known = await desk.load_images([key])
    if key not in known:
        raise image_not_found(key)
    return known[key]
