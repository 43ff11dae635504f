"""What an uploader says of an image, checked and cleaned. All of it is data: never a path, never trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import catalog_pb2, ingest_pb2

MAX_NAME_CHARS = 255
MAX_LABELS = 64
MAX_LABEL_VALUE_CHARS = 1_024
_LABEL_KEY = re.compile(r"[a-z0-9_.-]{1,63}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Control characters, and those that break a line or turn the direction of the text about them.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Header:
    """The checked header of one image. ``size_bytes`` 0 and ``sha256`` "" mean: not announced."""

    key: str = ""
    display_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    size_bytes: int = 0
    sha256: str = ""
    options: catalog_pb2.ProcessOptions = field(default_factory=catalog_pb2.ProcessOptions)


def parse_header(message: ingest_pb2.UploadHeader) -> Header:
    """Checks a header. Raises InvalidArgumentError (INVALID_FIELD) that names the field and its rule."""
    if len(message.key) > 128:
        raise _invalid("key", "has at most 128 characters")
    if message.size_bytes < 0:
        raise _invalid("size_bytes", "is not negative")
    if message.request_id and not _REQUEST_ID.fullmatch(message.request_id):
        raise _invalid("request_id", "has at most 128 printable ASCII characters")
    sha256 = message.sha256.lower()
    if sha256 and not _SHA256.fullmatch(sha256):
        raise _invalid("sha256", "has 64 hexadecimal digits")
    _check_labels(message.labels)
    return Header(
        key=message.key,
        display_name=clean_name(message.display_name),
        labels=dict(message.labels),
        request_id=message.request_id,
        size_bytes=message.size_bytes,
        sha256=sha256,
        options=message.options,
    )


def clean_name(name: str) -> str:
    """The last component of a file name, without control characters, cut to 255 characters."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    cleaned = _CONTROL.sub("", last)[:MAX_NAME_CHARS]
    return "" if cleaned in {".", ".."} else cleaned


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > MAX_LABELS:
        raise _invalid("labels", f"has at most {MAX_LABELS} entries")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise _invalid("labels", "has keys of 1 to 63 characters of a-z 0-9 _ . -")
        if len(value) > MAX_LABEL_VALUE_CHARS:
            raise _invalid("labels", f"has values of at most {MAX_LABEL_VALUE_CHARS} characters")


def _invalid(field_name: str, rule: str) -> InvalidArgumentError:
    facts: dict[str, Any] = {"field": field_name}
    return InvalidArgumentError(Reason.INVALID_FIELD, f"{field_name} {rule}.", **facts)
