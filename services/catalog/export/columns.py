"""The columns that an export can have: what they are called, what is in them, in which order they come.

Stores give the values of a column ready to write: text, whole numbers, floats or None where nothing was
measured or said. Times are RFC 3339 in UTC with milliseconds; states, formats, blur levels and scenes are the
contract's names without their prefix.

``labels.KEY`` is the value of one label, for every KEY. ``enterprise`` stands for ``ENTERPRISE``, the columns
of the enterprise dialect (revision S of the contract, section 6). What the catalog knows fills five of them:
``ai_detected_text`` is ``text``, ``image_description`` is ``caption``, ``created_at`` is ``create_time``,
``batch_id`` is ``batch``, and ``error_message`` is itself. The others (``serial_number``, ``business_name``,
``input_phone_number``, ``storefront_photo_url``, matches and scores, ...) are labels of the same name, and
empty for images without the label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.catalog.states import ImageState
from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import common_pb2

Kind = Literal["text", "code", "time", "json", "int", "float"]
"""``text`` came from outside; ``code`` is text that the suite made of letters, digits and a few signs."""
Value = str | int | float | None

MAX_COLUMNS = 200
LABEL_PREFIX = "labels."
_LABEL_KEY = re.compile(r"[a-z0-9_.-]{1,63}")


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``name`` heads it, ``title`` is its name for people; stores know it by ``stored``."""

    name: str
    kind: Kind
    title: str
    stored: str


def _column(name: str, kind: Kind, title: str) -> Column:
    return Column(name, kind, title, name)


COLUMNS: tuple[Column, ...] = (
    _column("name", "code", "Name"),
    _column("number", "int", "Number"),
    _column("display_name", "text", "File name"),
    _column("state", "code", "State"),
    _column("title", "text", "Title"),
    _column("caption", "text", "Caption"),
    _column("tags", "text", "Tags"),
    _column("objects", "text", "Objects"),
    _column("text", "text", "Text in the image"),
    _column("word_count", "int", "Words"),
    _column("barcodes", "text", "Barcodes"),
    _column("face_count", "int", "Faces"),
    _column("scene", "code", "Scene"),
    _column("scene_confidence", "float", "Scene confidence"),
    _column("quality_score", "float", "Quality"),
    _column("blur_level", "code", "Blur"),
    _column("brightness", "int", "Brightness"),
    _column("contrast", "float", "Contrast"),
    _column("sharpness", "float", "Sharpness"),
    _column("shadow_share", "float", "Share of shadows"),
    _column("highlight_share", "float", "Share of highlights"),
    _column("colorfulness", "float", "Colourfulness"),
    _column("dominant_colors", "text", "Main colours"),
    _column("moderation_score", "float", "Unsafe score"),
    _column("labels", "json", "Labels"),
    _column("batch", "text", "Batch"),
    _column("camera_make", "text", "Camera maker"),
    _column("camera_model", "text", "Camera"),
    _column("lens_model", "text", "Lens"),
    _column("taken_time", "time", "Taken"),
    _column("latitude", "float", "Latitude"),
    _column("longitude", "float", "Longitude"),
    _column("format", "code", "Format"),
    _column("size_bytes", "int", "Bytes"),
    _column("width", "int", "Width"),
    _column("height", "int", "Height"),
    _column("frame_count", "int", "Frames"),
    _column("color_mode", "text", "Colour mode"),
    _column("sha256", "code", "SHA-256"),
    _column("phash", "code", "Perceptual hash"),
    _column("caption_language", "text", "Language of the caption"),
    _column("caption_provider", "text", "Provider of the caption"),
    _column("caption_model", "text", "Model of the caption"),
    _column("caption_degraded", "int", "Caption composed without a model"),
    _column("analyzer_version", "text", "Version of the analyzer"),
    _column("analyzer_elapsed_ms", "float", "Analysis in ms"),
    _column("create_time", "time", "Stored"),
    _column("update_time", "time", "Changed"),
    _column("process_time", "time", "Finished"),
    _column("error_reason", "text", "Reason of the error"),
    _column("error_message", "text", "Error"),
)
"""All columns in the order of an export that names none."""

STATE_NAMES: dict[int, str] = {int(state): state.name for state in ImageState}
FORMAT_NAMES: dict[int, str] = {
    number: name.removeprefix("IMAGE_FORMAT_")
    for name, number in common_pb2.ImageFormat.items()
    if number != common_pb2.IMAGE_FORMAT_UNSPECIFIED
}

STORED: frozenset[str] = frozenset(column.stored for column in COLUMNS)
"""What stores must be able to give, beside every ``labels.KEY``."""

_BY_NAME = {column.name: column for column in COLUMNS}


def _enterprise(name: str, title: str, known: str = "") -> Column:
    if known:
        return Column(name, _BY_NAME[known].kind, title, known)
    return Column(name, "text", title, LABEL_PREFIX + name)


ENTERPRISE: tuple[Column, ...] = (
    _enterprise("serial_number", "Serial Number"),
    _enterprise("business_name", "Business Name"),
    _enterprise("input_phone_number", "Input Phone Number"),
    _enterprise("storefront_photo_url", "StoreFront Photo URL"),
    _enterprise("store_image_detected", "Store Image Detected"),
    _enterprise("ai_detected_text", "AI Detected Text", "text"),
    _enterprise("ai_detected_store_name", "AI Detected Store Name"),
    _enterprise("ai_detected_contact", "AI Detected Contact"),
    _enterprise("ai_found_phone_number", "AI Found Phone Number"),
    _enterprise("image_description", "Image Description", "caption"),
    _enterprise("phone_match_score", "Phone Match Score"),
    _enterprise("phone_match", "Phone Match"),
    _enterprise("store_front_match_score", "Store Front Match Score"),
    _enterprise("store_front_match", "Store Front Match"),
    _enterprise("error_message", "Error Message", "error_message"),
    _enterprise("processing_time_seconds", "Processing Time (seconds)"),
    _enterprise("created_at", "Created At", "create_time"),
    _enterprise("batch_id", "Batch ID", "batch"),
)
_SETS = {"enterprise": ENTERPRISE}


def choose_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """The columns with these names in this order, all for none.

    Raises ``InvalidArgumentError(INVALID_FIELD)`` for a name that is unknown or comes twice, and beyond
    ``MAX_COLUMNS``.
    """
    if len(names) > MAX_COLUMNS:
        raise _refusal(f"An export has at most {MAX_COLUMNS} columns.")
    chosen: dict[str, Column] = {}
    for name in names:
        for column in _SETS.get(name) or (_find(name),):
            if column.name in chosen:
                raise _refusal(f"The column {column.name} is named twice.")
            chosen[column.name] = column
    return tuple(chosen.values()) or COLUMNS


def _find(name: str) -> Column:
    if name in _BY_NAME:
        return _BY_NAME[name]
    key = name.removeprefix(LABEL_PREFIX)
    if key != name and _LABEL_KEY.fullmatch(key):
        return Column(name, "text", key, name)
    known = ", ".join((*_BY_NAME, f"{LABEL_PREFIX}KEY", *_SETS))
    raise _refusal(f"There is no column {name[:100]!r}. There are: {known}.")


def _refusal(rule: str) -> InvalidArgumentError:
    return InvalidArgumentError(Reason.INVALID_FIELD, rule, field="columns")
