"""Changes to images, each within the transaction of the writer's group."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping, Sequence

from services.catalog.model import ImageChange, ImageRecord, NewImage
from services.catalog.names import ImageKey, image_not_found
from services.catalog.sqlite.blobs import newest_analyses, refer_to_blob, show_blob
from services.catalog.sqlite.counters import add_counts
from services.catalog.sqlite.faces import show_faces
from services.catalog.sqlite.findings import drop_findings, keep_findings, move_states
from services.catalog.sqlite.images import read_image
from services.catalog.sqlite.known import KnownImage, load_images, load_results, shown_ids
from services.catalog.states import ImageState, started
from services.runtime.errors import AbortedError, AlreadyExistsError, FailedPreconditionError, Reason


def create_image(
    connection: sqlite3.Connection,
    new: NewImage,
    request_id: str,
    blob_generation: int,
    name: uuid.UUID,
    now_us: int,
) -> tuple[ImageRecord, bool]:
    """See ``CatalogStore.create_image``; ``name`` is for the image if it is new."""
    known = _find_request(connection, request_id, new.sha256)
    if known is not None:
        return read_image(connection, known, hidden=True), False
    blob_id = refer_to_blob(connection, new, blob_generation)
    shown = newest_analyses(connection, blob_id) if new.state.is_final else {}
    insights_id, caption_id = shown.get("insights"), shown.get("caption")
    number = connection.execute(
        """INSERT INTO images (uuid, blob_id, state, size_bytes, format, width, height, frame_count,
               color_mode, display_name, labels, batch, process_options, request_id, create_time_us,
               update_time_us, process_time_us, insights_id, caption_id)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            name.bytes,
            blob_id,
            int(new.state),
            new.size_bytes,
            new.format,
            new.width,
            new.height,
            new.frame_count,
            new.color_mode,
            new.display_name,
            _as_json(new.labels),
            new.batch,
            new.process_options,
            request_id or None,
            now_us,
            now_us,
            now_us if new.state.is_final else None,
            insights_id,
            caption_id,
        ),
    ).lastrowid
    assert number is not None  # noqa: S101  an insert that did not raise has given a number
    image = KnownImage(
        number, name.bytes, blob_id, new.state, b"", b"", now_us, None, insights_id, caption_id, None, new
    )
    _count(connection, image, 1)
    _keep(connection, image, now_us, looked=True)
    return read_image(connection, number), True


def change_image(
    connection: sqlite3.Connection, key: ImageKey, change: ImageChange, revision: int | None, now_us: int
) -> ImageRecord:
    """See ``CatalogStore.change_image``."""
    before = read_image(connection, key)
    if revision is not None and revision != before.revision:
        raise AbortedError(
            Reason.ETAG_MISMATCH, "The image changed since it was read; read it again and repeat the change."
        )
    labels = before.image.labels if change.labels is None else change.labels
    corrections = before.corrections if change.corrections is None else change.corrections
    connection.execute(
        """UPDATE images SET labels = ?, corrections = ?, update_time_us = ?, revision = revision + 1
           WHERE number = ?""",
        (_as_json(labels), corrections, now_us, before.number),
    )
    _keep(connection, _find(connection, before.number), now_us, looked=False)
    return read_image(connection, key)


def hide_image(connection: sqlite3.Connection, key: ImageKey, now_us: int) -> None:
    """See ``CatalogStore.hide_image``."""
    image = _find(connection, key)
    if image.delete_time_us is not None:
        raise image_not_found(key)
    _set_hidden(connection, image, now_us, now_us)
    drop_findings(connection, [image])


def restore_image(connection: sqlite3.Connection, key: ImageKey, now_us: int) -> ImageRecord:
    """See ``CatalogStore.restore_image``."""
    image = _find(connection, key)
    if image.delete_time_us is None:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            "The image is not deleted; there is nothing to take back.",
            state="not deleted",
        )
    _set_hidden(connection, image, None, now_us)
    # The faces are there already, with what people said of them.
    _keep(connection, image, now_us, looked=False)
    show_faces(connection, image.number, visible=True)
    return read_image(connection, key)


def start_images(connection: sqlite3.Connection, keys: Sequence[ImageKey], now_us: int) -> None:
    """Marks images as being processed; passes by what does not exist."""
    known = {image.number: image for image in load_images(connection, keys).values()}
    moved = [
        image
        for image in known.values()
        if image.delete_time_us is None and started(image.state) is not image.state
    ]
    if not moved:
        return
    connection.executemany(
        "UPDATE images SET state = ?, update_time_us = ?, revision = revision + 1 WHERE number = ?",
        [(int(ImageState.PROCESSING), now_us, image.number) for image in moved],
    )
    add_counts(
        connection,
        {
            ("state", int(ImageState.PENDING)): -len(moved),
            ("state", int(ImageState.PROCESSING)): len(moved),
        },
    )
    move_states(connection, moved, ImageState.PENDING, ImageState.PROCESSING)


def _find_request(connection: sqlite3.Connection, request_id: str, sha256: str) -> int | None:
    if not request_id:
        return None
    row = connection.execute(
        "SELECT i.number, b.sha256 FROM images i JOIN blobs b ON b.id = i.blob_id WHERE i.request_id = ?",
        (request_id,),
    ).fetchone()
    if row is None:
        return None
    if row[1].hex() != sha256:
        raise AlreadyExistsError(
            Reason.REQUEST_ID_REUSED,
            "This request_id came with other bytes before; use a new one for each image.",
            request_id=request_id,
        )
    return int(row[0])


def _find(connection: sqlite3.Connection, key: ImageKey) -> KnownImage:
    known = load_images(connection, [key])
    if key not in known:
        raise image_not_found(key)
    return known[key]


def _set_hidden(
    connection: sqlite3.Connection, image: KnownImage, delete_time_us: int | None, now_us: int
) -> None:
    image.delete_time_us = delete_time_us
    connection.execute(
        """UPDATE images SET delete_time_us = ?, update_time_us = ?, revision = revision + 1
           WHERE number = ?""",
        (delete_time_us, now_us, image.number),
    )
    show_blob(connection, image.blob_id, -1 if delete_time_us else 1)
    _count(connection, image, -1 if delete_time_us else 1)


def _count(connection: sqlite3.Connection, image: KnownImage, change: int) -> None:
    add_counts(
        connection,
        {
            ("images", 0): change,
            ("state", int(image.state)): change,
            ("format", image.image.format): change,
        },
    )


def _keep(connection: sqlite3.Connection, image: KnownImage, now_us: int, *, looked: bool) -> None:
    results = load_results(connection, shown_ids([image]))
    keep_findings(connection, [image], results, now_us, {image.number} if looked and results else ())


def _as_json(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(labels), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
