"""Changes to images, each within the transaction of the writer's group."""

# Statements are made of constants; values always are parameters.
# ruff: noqa: S608

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping, Sequence

from services.catalog.model import ImageRecord, NewImage
from services.catalog.names import ImageKey, image_not_found
from services.catalog.sqlite_images import key_condition, read_image
from services.catalog.states import ImageState, started
from services.runtime.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    Reason,
)


def create_image(
    connection: sqlite3.Connection, new: NewImage, request_id: str, name: uuid.UUID, now_us: int
) -> tuple[ImageRecord, bool]:
    """See ``CatalogStore.create_image``; ``name`` is for the image if it is new."""
    known = _find_request(connection, request_id, new.sha256)
    if known is not None:
        return read_image(connection, known, hidden=True), False
    number = connection.execute(
        """INSERT INTO images (uuid, blob_id, state, size_bytes, format, width, height, frame_count,
               color_mode, display_name, labels, batch, process_options, request_id, create_time_us,
               update_time_us, process_time_us)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            name.bytes,
            _blob_id(connection, new),
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
        ),
    ).lastrowid
    assert number is not None  # noqa: S101  an insert that did not raise has given a number
    _insert_labels(connection, number, now_us, new.labels)
    return read_image(connection, number), True


def start_images(connection: sqlite3.Connection, keys: Sequence[ImageKey], now_us: int) -> None:
    """Marks images as being processed; passes by what does not exist."""
    for key in keys:
        condition, parameter = key_condition(key)
        row = connection.execute(
            f"SELECT i.number, i.state FROM images i WHERE {condition} AND i.delete_time_us IS NULL",
            (parameter,),
        ).fetchone()
        if row is None:
            continue
        state = started(ImageState(row[1]))
        if state != row[1]:
            connection.execute(
                "UPDATE images SET state = ?, update_time_us = ?, revision = revision + 1 WHERE number = ?",
                (int(state), now_us, row[0]),
            )


def update_labels(
    connection: sqlite3.Connection,
    key: ImageKey,
    labels: Mapping[str, str],
    revision: int | None,
    now_us: int,
) -> ImageRecord:
    """See ``CatalogStore.update_labels``."""
    before = read_image(connection, key)
    if revision is not None and revision != before.revision:
        raise AbortedError(
            Reason.ETAG_MISMATCH, "The image changed since it was read; read it again and repeat the change."
        )
    connection.execute(
        "UPDATE images SET labels = ?, update_time_us = ?, revision = revision + 1 WHERE number = ?",
        (_as_json(labels), now_us, before.number),
    )
    connection.execute("DELETE FROM labels WHERE number = ?", (before.number,))
    _insert_labels(connection, before.number, before.create_time_us, labels)
    return read_image(connection, key)


def delete_image(connection: sqlite3.Connection, key: ImageKey) -> tuple[str, ...]:
    """See ``CatalogStore.delete_image``."""
    image = read_image(connection, key, hidden=True)
    connection.execute("DELETE FROM images WHERE number = ?", (image.number,))
    dropped = connection.execute(
        "DELETE FROM blobs WHERE sha256 = ? AND ref_count = 0 RETURNING blob_key",
        (bytes.fromhex(image.image.sha256),),
    ).fetchall()
    return tuple(blob_key for (blob_key,) in dropped)


def hide_image(connection: sqlite3.Connection, key: ImageKey, now_us: int) -> None:
    """See ``CatalogStore.hide_image``."""
    condition, parameter = key_condition(key)
    hidden = connection.execute(
        "UPDATE images AS i SET delete_time_us = ?, update_time_us = ?, revision = revision + 1 "
        f"WHERE {condition} AND delete_time_us IS NULL",
        (now_us, now_us, parameter),
    )
    if not hidden.rowcount:
        raise image_not_found(key)


def restore_image(connection: sqlite3.Connection, key: ImageKey, now_us: int) -> ImageRecord:
    """See ``CatalogStore.restore_image``."""
    image = read_image(connection, key, hidden=True)
    if image.delete_time_us is None:
        raise FailedPreconditionError(
            Reason.WRONG_STATE,
            "The image is not deleted; there is nothing to take back.",
            state="not deleted",
        )
    connection.execute(
        "UPDATE images SET delete_time_us = NULL, update_time_us = ?, revision = revision + 1 "
        "WHERE number = ?",
        (now_us, image.number),
    )
    return read_image(connection, key)


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


def _blob_id(connection: sqlite3.Connection, new: NewImage) -> int:
    digest = bytes.fromhex(new.sha256)
    connection.execute(
        "INSERT INTO blobs (sha256, blob_key, size_bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (digest, new.blob_key, new.size_bytes),
    )
    blob_id, blob_key, size_bytes = connection.execute(
        "SELECT id, blob_key, size_bytes FROM blobs WHERE sha256 = ?", (digest,)
    ).fetchone()
    for field, known, given in (
        ("image.blob_key", blob_key, new.blob_key),
        ("image.size_bytes", size_bytes, new.size_bytes),
    ):
        if known != given:
            raise InvalidArgumentError(
                Reason.INVALID_FIELD,
                f"{field} is not what is known of these bytes; equal bytes have one key and one size.",
                field=field,
                known=known,
            )
    return int(blob_id)


def _insert_labels(
    connection: sqlite3.Connection, number: int, create_time_us: int, labels: Mapping[str, str]
) -> None:
    connection.executemany(
        "INSERT INTO labels VALUES (?, ?, ?, ?)",
        [(key, value, create_time_us, number) for key, value in labels.items()],
    )


def _as_json(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(labels), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
