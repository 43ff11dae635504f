"""What a fake vendor sees in a picture: its bytes and its size, read from the header."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

_PREFIX = "data:image/jpeg;base64,"
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3})


class NotAPictureError(ValueError):
    """The text is no data URI of a JPEG."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A JPEG that arrived; ``digest`` is what ``digest_of`` says of its bytes."""

    digest: str
    width: int
    height: int
    size_bytes: int


def digest_of(jpeg: bytes) -> str:
    """Sixteen hexadecimal digits that tell one picture from another."""
    return hashlib.sha256(jpeg).hexdigest()[:16]


def see(url: str) -> Seen:
    """Reads a data URI; raises NotAPictureError."""
    if not url.startswith(_PREFIX):
        raise NotAPictureError("not a data URI of a JPEG")
    try:
        jpeg = base64.b64decode(url[len(_PREFIX) :], validate=True)
        width, height = jpeg_size(jpeg)
    except (binascii.Error, struct.error, IndexError) as error:
        raise NotAPictureError("the bytes are no JPEG") from error
    return Seen(digest_of(jpeg), width, height, len(jpeg))


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Width and height in pixels from the frame header; raises struct.error or IndexError without one."""
    if jpeg[:2] != b"\xff\xd8":
        raise struct.error("no JPEG")
    at = 2
    while jpeg[at + 1] not in _FRAMES:
        at += 2 + int(struct.unpack_from(">H", jpeg, at + 2)[0])
    height, width = struct.unpack_from(">HH", jpeg, at + 5)
    return width, height
