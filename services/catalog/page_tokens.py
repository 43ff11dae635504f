"""Page tokens: where a page ended and of which query, with a checksum against typing errors.

They hold nothing secret and grant nothing: a forged one only starts a page elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct

from services.catalog.model import Position
from services.runtime.errors import InvalidArgumentError, Reason

_VERSION = 1
_LAYOUT = struct.Struct(">B8sqq")
_CHECK_BYTES = 4


def make_page_token(query: bytes, after: Position | None) -> str:
    """The token of the page after ``after``; empty when there is none.

    ``query`` is everything that the next request must have in common with this one.
    """
    if after is None:
        return ""
    body = _LAYOUT.pack(_VERSION, _digest(query, 8), *after)
    return base64.urlsafe_b64encode(body + _digest(body, _CHECK_BYTES)).rstrip(b"=").decode()


def read_page_token(query: bytes, token: str) -> Position | None:
    """Where the page before ended; None for the first page.

    Raises ``InvalidArgumentError(INVALID_PAGE_TOKEN)`` for a malformed token or one of another query.
    """
    if not token:
        return None
    body = _checked_body(token)
    _, bound_to, time_us, number = _LAYOUT.unpack(body)
    if bound_to != _digest(query, 8):
        raise _refusal(
            "belongs to another query; all fields but page_size must stay the same from page to page"
        )
    return time_us, number


def _checked_body(token: str) -> bytes:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refusal("is malformed; pass next_page_token back as it came") from None
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if len(body) != _LAYOUT.size or check != _digest(body, _CHECK_BYTES) or body[0] != _VERSION:
        raise _refusal("is malformed; pass next_page_token back as it came")
    return body


def _digest(data: bytes, size_bytes: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size_bytes).digest()


def _refusal(rule: str) -> InvalidArgumentError:
    return InvalidArgumentError(Reason.INVALID_PAGE_TOKEN, f"The page token {rule}.")
