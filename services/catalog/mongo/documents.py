"""Images and analyses as documents, and back.

An image is one document: what was uploaded, where it is in its life, what it shows, and its findings. The
names of its fields are those of ``NewImage``, ``ImageRecord`` and ``Findings``.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from services.catalog.colors import cell_of, lab_of
from services.catalog.findings import Document as Words
from services.catalog.findings import Findings, Shown
from services.catalog.model import ANALYZERS, AnalysisRecord, ImageRecord, Look, NewImage
from services.catalog.states import ImageState

Document = dict[str, Any]

SEPARATOR = "\u0001"
"""Stands between field and value of a term, and between the parts of keys that are put together."""

NOT_MEASURED = -1
# Values that stand in fields of their own, and so are no terms.
SCALAR_FIELDS = {"format": "format", "blur": "blur", "scene": "scene", "has_text": "has_text"}
_MOST_FACES = 10

RECORD_FIELDS = (
    *("uuid", "sha256", "blob_key", "size_bytes", "format", "width", "height", "frame_count", "color_mode"),
    *("display_name", "labels", "batch", "process_options", "state", "error", "create_time_us"),
    *("update_time_us", "process_time_us", "delete_time_us", "revision", "corrections", "shown"),
)
RECORD_PROJECTION = dict.fromkeys(RECORD_FIELDS, 1)
"""What to read for :func:`record_of`."""


def new_document(new: NewImage, number: int, name: uuid.UUID, request_id: str, now_us: int) -> Document:
    """An image that was not there before, without findings."""
    return {
        "_id": number,
        "uuid": name.bytes,
        "visible": True,
        "sha256": new.sha256,
        "blob_key": new.blob_key,
        "size_bytes": new.size_bytes,
        "format": new.format,
        "width": new.width,
        "height": new.height,
        "frame_count": new.frame_count,
        "color_mode": new.color_mode,
        "display_name": new.display_name,
        "labels": labels_of(new.labels),
        "batch": new.batch,
        "process_options": new.process_options,
        "request_id": request_id,
        "state": int(new.state),
        "error": b"",
        "create_time_us": now_us,
        "update_time_us": now_us,
        "process_time_us": now_us if new.state.is_final else None,
        "revision": 1,
        "corrections": b"",
        "shown": {},
        "terms": [],
    }


def labels_of(labels: Mapping[str, str]) -> list[list[str]]:
    """Labels as pairs: their keys may hold what names of fields must not."""
    return [[key, value] for key, value in labels.items()]


def image_of(document: Document) -> NewImage:
    """The uploaded part of an image."""
    return NewImage(
        sha256=document["sha256"],
        blob_key=document["blob_key"],
        size_bytes=document["size_bytes"],
        format=document["format"],
        width=document["width"],
        height=document["height"],
        frame_count=document["frame_count"],
        color_mode=document["color_mode"],
        display_name=document["display_name"],
        labels=dict(document["labels"]),
        batch=document["batch"],
        process_options=document["process_options"],
        state=ImageState(document["state"]),
    )


def record_of(document: Document, results: Mapping[str, bytes] | None = None) -> ImageRecord:
    """The record of an image; ``results`` by the ids of the analyses that it shows."""
    shown = {analyzer: (results or {}).get(document["shown"].get(analyzer, "")) for analyzer in ANALYZERS}
    return ImageRecord(
        uuid=uuid.UUID(bytes=document["uuid"]),
        number=document["_id"],
        image=image_of(document),
        error=document["error"],
        create_time_us=document["create_time_us"],
        update_time_us=document["update_time_us"],
        process_time_us=document["process_time_us"],
        delete_time_us=document.get("delete_time_us"),
        revision=document["revision"],
        corrections=document["corrections"],
        insights=shown["insights"],
        caption=shown["caption"],
    )


def term_of(field: str, value: str) -> str:
    """A value of a field as it stands in ``terms``."""
    return f"{field}{SEPARATOR}{value}"


def counted_terms(document: Document) -> set[tuple[str, str]]:
    """Field and value of everything that facets count of an image."""
    terms = {(field, value) for field, _, value in (term.partition(SEPARATOR) for term in document["terms"])}
    counted = {term for term in terms if term[0] != "color"} | {("format", str(document["format"]))}
    for field in ("blur", "scene", "has_text"):
        if document[field] != NOT_MEASURED:
            counted.add((field, str(document[field])))
    if document["face_count"] != NOT_MEASURED:
        counted.add(("faces", str(min(document["face_count"], _MOST_FACES))))
    return counted


def keep_findings(document: Document, findings: Findings) -> None:
    """Puts what was derived of an image into its document."""
    single = {field: int(value) for field, value in findings.terms if field in SCALAR_FIELDS}
    posted = [
        term_of(field, value)
        for field, value in findings.terms
        if field not in SCALAR_FIELDS and field != "faces"
    ]
    cells = [term_of("color", cell) for cell in sorted({cell_of(color) for color in findings.colors})]
    parts = findings.document
    document.update(
        {field: single.get(field, NOT_MEASURED) for field in ("blur", "scene", "has_text")},
        quality=findings.quality,
        face_count=findings.face_count,
        name=findings.name,
        labs=[list(lab_of(color)) for color in findings.colors],
        terms=list(dict.fromkeys(posted + cells)),
        words=sorted({word for part in parts for word in part.split()}),
        # Spaces on both sides, so that whole words and phrases are found as they are.
        parts={name: f" {part} " for name, part in zip(Words._fields, parts, strict=True) if part},
        sheet={name: value for name, value in findings.sheet._asdict().items() if value is not None},
        look=pack_look(findings.look),
        faces=len(findings.faces),
    )


def pack_look(look: Look | None) -> bytes:
    """A look as bytes; none for none."""
    if look is None:
        return b""
    return look.phash.to_bytes(8, "little") + look.dhash.to_bytes(8, "little") + look.signature


def look_fields(packed: bytes) -> Document:
    """The fields of a look in the collection ``looks``; hashes are signed there."""
    return {
        "phash": int.from_bytes(packed[:8], "little", signed=True),
        "dhash": int.from_bytes(packed[8:16], "little", signed=True),
        "signature": packed[16:],
    }


def analysis_id(analysis: AnalysisRecord) -> str:
    """The key of an analysis, as one text."""
    parts = (analysis.sha256, analysis.analyzer, analysis.version, analysis.settings_digest)
    return SEPARATOR.join(parts)


def analysis_of(document: Document) -> AnalysisRecord:
    """An analysis as it was stored."""
    return AnalysisRecord(
        sha256=document["sha256"],
        analyzer=document["analyzer"],
        version=document["version"],
        settings_digest=document["settings_digest"],
        result=document["result"],
        create_time_us=document["create_time_us"],
        elapsed_us=document["elapsed_us"],
    )


def shown_of(document: Document, analyses: Mapping[str, Document]) -> Shown:
    """The analyses that an image shows."""
    known = {analyzer: analyses[key] for analyzer, key in document["shown"].items() if key in analyses}
    return Shown(
        {analyzer: entry["result"] for analyzer, entry in known.items()},
        {analyzer: (entry["version"], entry["settings_digest"]) for analyzer, entry in known.items()},
    )
