"""Page tokens: where a page ended and of which query, with a checksum against typing errors.

They hold nothing secret and grant nothing: a forged one only starts a page elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct

from google.protobuf.message import Message

from services.catalog.model import Position
from services.runtime.errors import InvalidArgumentError, Reason

Place = tuple[int | str, ...]
"""Where a page ends; numbers fit into 64 bits."""

_VERSION = 2
_HEAD = struct.Struct(">B8s")
_NUMBER = struct.Struct(">q")
_LENGTH = struct.Struct(">I")
_CHECK_BYTES = 4


def everything_but_the_page(request: Message) -> bytes:
    """The request without page_size and page_token, the same bytes for the same content: its query."""
    rest = type(request)()
    rest.CopyFrom(request)
    rest.ClearField("page_size")
    rest.ClearField("page_token")
    return request.DESCRIPTOR.full_name.encode() + b"\0" + rest.SerializeToString(deterministic=True)


def make_page_token(query: bytes, after: Place | None) -> str:
    """The token of the page after ``after``; empty when there is none.

    ``query`` is everything that the next request must have in common with this one.
    """
    if after is None:
        return ""
    body = _HEAD.pack(_VERSION, _digest(query, 8)) + b"".join(_packed(part) for part in after)
    return base64.urlsafe_b64encode(body + _digest(body, _CHECK_BYTES)).rstrip(b"=").decode()


def read_page_token(query: bytes, token: str) -> Position | None:
    """Where the page before ended; None for the first page.

    Raises ``InvalidArgumentError(INVALID_PAGE_TOKEN)`` for a malformed token or one of another query, as all
    readers here do.
    """
    match _read_place(query, token):
        case None:
            return None
        case (int(key), int(number)):
            return key, number
    raise _malformed()


def read_count_token(query: bytes, token: str) -> tuple[int, str] | None:
    """The place in a list of counted values: count and value."""
    match _read_place(query, token):
        case None:
            return None
        case (int(count), str(value)):
            return count, value
    raise _malformed()


def read_text_token(query: bytes, token: str) -> str | None:
    """The place in a list that is ordered by a text."""
    match _read_place(query, token):
        case None:
            return None
        case (str(text),):
            return text
    raise _malformed()


def read_number_token(query: bytes, token: str) -> int | None:
    """The place in a list that is ordered by one number, or how many were shown."""
    match _read_place(query, token):
        case None:
            return None
        case (int(number),):
            return number
    raise _malformed()


def _read_place(query: bytes, token: str) -> Place | None:
    if not token:
        return None
    body = _checked_body(token)
    _, bound_to = _HEAD.unpack_from(body)
    if bound_to != _digest(query, 8):
        raise _refusal(
            "belongs to another query; all fields but page_size must stay the same from page to page"
        )
    try:
        return _unpacked(body[_HEAD.size :])
    except (struct.error, UnicodeDecodeError):
        raise _malformed() from None


def _packed(part: int | str) -> bytes:
    if isinstance(part, int):
        return b"n" + _NUMBER.pack(part)
    text = part.encode()
    return b"t" + _LENGTH.pack(len(text)) + text


def _unpacked(data: bytes) -> Place:
    parts: list[int | str] = []
    at = 0
    while at < len(data):
        kind, at = data[at : at + 1], at + 1
        if kind == b"n":
            parts.append(_NUMBER.unpack_from(data, at)[0])
            at += _NUMBER.size
        else:
            end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
            parts.append(data[at + _LENGTH.size : end].decode())
            at = end
    return tuple(parts)


def _checked_body(token: str) -> bytes:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _malformed() from None
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if len(body) < _HEAD.size or check != _digest(body, _CHECK_BYTES) or body[0] != _VERSION:
        raise _malformed()
    return body


def _digest(data: bytes, size_bytes: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size_bytes).digest()


def _malformed() -> InvalidArgumentError:
    return _refusal("is malformed; pass next_page_token back as it came")


def _refusal(rule: str) -> InvalidArgumentError:
    return InvalidArgumentError(Reason.INVALID_PAGE_TOKEN, f"The page token {rule}.")
