"""What a migration copies: kinds of records, each in one form for all stores.

What follows from these records (findings, words, facets, stats, looks and pairs of near duplicates) is not
copied: the target makes it anew.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.catalog.model import NewImage
from services.catalog.people.model import Decision, FaceRow, Likeness, PersonRow
from services.catalog.states import ImageState

Record = dict[str, Any]
"""Values are str, int, float, bool, bytes, None and lists of these; the same in every store."""
Key = tuple[str | int | bytes, ...]
_BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Kind:
    """Records of one kind; ``key`` are the first of the ``fields``, ``start`` lies before all keys."""

    name: str
    start: Key
    fields: tuple[str, ...]

    def key_of(self, record: Record) -> Key:
        """What tells a record from all others, and puts them in order."""
        return tuple(record[field] for field in self.fields[: len(self.start)])


def _kind(name: str, start: Key, fields: str) -> Kind:
    return Kind(name, start, tuple(fields.split()))


# In the order in which they are copied: what a record refers to comes before it.
KINDS = (
    # The counts follow from the images; they are read to be compared.
    _kind(
        "blobs",
        ("",),
        "sha256 blob_key size_bytes fate generation garbage_since_us ref_count live_count",
    ),
    _kind(
        "analyses",
        ("", "", "", ""),
        "sha256 analyzer version settings_digest sequence create_time_us elapsed_us result",
    ),
    # insights and caption: version and settings of the analyses that an image shows.
    _kind(
        "images",
        (0,),
        "number uuid sha256 blob_key size_bytes format width height frame_count color_mode display_name "
        "labels batch process_options request_id state error corrections create_time_us update_time_us "
        "process_time_us delete_time_us revision insights caption",
    ),
    _kind(
        "people",
        (b"",),
        "uuid root create_time_us update_time_us parent look display_name hidden face_count own_count cover "
        "chosen_cover samples total square_sum sequence revision",
    ),
    _kind(
        "faces",
        (b"",),
        "uuid number image box confidence descriptor person by_hand decision visible request_id",
    ),
    # labels here and columns of items are JSON, as stores keep them.
    _kind(
        "batches",
        (b"",),
        "uuid parent part_number part_count display_name options weight labels request_id create_time_us "
        "state total succeeded failed retrying cancelled input_tokens output_tokens cost_micros "
        "update_time_us start_time_us end_time_us error chunk_count revision",
    ),
    _kind("items", (b"", 0), "batch row state attempt_count update_time_us image url columns error"),
    _kind(
        "chunks",
        (b"", 0),
        "batch number generation attempt item_rows create_time_us done_time_us successor",
    ),
    _kind("result_sets", ("", ""), "kind name next_sequence row_count"),
    _kind(
        "result_rows",
        ("", "", "", ""),
        "kind name scene_path image_path sequence description objects time_us",
    ),
    _kind("caption_cache", (b"",), "key sha256 time_us result"),
    _kind("caption_calls", (b"",), "id state due_us day provider batch micros tokens"),
    _kind("caption_totals", ("", ""), "period provider micros tokens reserved_micros reserved_tokens"),
    _kind(
        "caption_usage",
        ("",),
        "place day provider batch images cached unsettled input_tokens output_tokens micros",
    ),
    # "images": the last number that was given out; "people": the last sequence.
    _kind("marks", ("",), "name value"),
)
KIND_BY_NAME = {kind.name: kind for kind in KINDS}


def encode(value: Record | Sequence[object]) -> bytes:
    """A record or key as the same bytes wherever it was read."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_tagged)
    return text.encode()


def decode_key(text: bytes) -> Key:
    """A key from what ``encode`` made of it."""
    return tuple(json.loads(text, object_hook=lambda tagged: bytes.fromhex(tagged[_BYTES])))


def image_of(record: Record) -> NewImage:
    """The uploaded part of an image."""
    return NewImage(
        sha256=record["sha256"],
        blob_key=record["blob_key"],
        size_bytes=record["size_bytes"],
        format=record["format"],
        width=record["width"],
        height=record["height"],
        frame_count=record["frame_count"],
        color_mode=record["color_mode"],
        display_name=record["display_name"],
        labels=dict(record["labels"]),
        batch=record["batch"],
        process_options=record["process_options"],
        state=ImageState(record["state"]),
    )


def face_of(record: Record) -> FaceRow:
    """A face, to be put."""
    x, y, width, height = record["box"]
    return FaceRow(
        uuid=uuid.UUID(bytes=record["uuid"]),
        number=record["number"],
        image=uuid.UUID(bytes=record["image"]),
        box=(x, y, width, height),
        confidence=record["confidence"],
        descriptor=record["descriptor"],
        person=_uuid(record["person"]),
        by_hand=record["by_hand"],
        decision=Decision(record["decision"]),
        visible=record["visible"],
        request_id=record["request_id"],
    )


def person_of(record: Record) -> PersonRow:
    """A group of faces, to be put."""
    return PersonRow(
        uuid=uuid.UUID(bytes=record["uuid"]),
        root=uuid.UUID(bytes=record["root"]),
        create_time_us=record["create_time_us"],
        update_time_us=record["update_time_us"],
        parent=_uuid(record["parent"]),
        look=record["look"],
        display_name=record["display_name"],
        hidden=record["hidden"],
        face_count=record["face_count"],
        own_count=record["own_count"],
        cover=_uuid(record["cover"]),
        chosen_cover=_uuid(record["chosen_cover"]),
        likeness=Likeness(record["samples"], record["total"], record["square_sum"]),
        sequence=record["sequence"],
        revision=record["revision"],
    )


def _tagged(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {_BYTES: value.hex()}
    raise TypeError(f"{type(value).__name__} is no value of a record")


def _uuid(value: bytes | None) -> uuid.UUID | None:
    return uuid.UUID(bytes=value) if value else None
