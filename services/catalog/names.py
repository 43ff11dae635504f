"""Names of images: ``images/{uuid}`` as the catalog gives them, ``images/{number}`` as people type them."""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass

from services.runtime.errors import InvalidArgumentError, NotFoundError, Reason

ImageKey = uuid.UUID | int
"""What a name says: the UUID, or the number (1 to 2^63 - 1)."""

_UUID_NAME = re.compile(r"images/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_NUMBER_NAME = re.compile(r"images/([1-9][0-9]{0,18})")
_MAX_NUMBER = 2**63 - 1
_MAX_SHOWN_CHARS = 100


@dataclass(slots=True)
class NameSource:
    """Gives UUIDs of version 7 that ascend strictly within this process, whatever the clock does.

    RFC 9562, section 6.2, method 3: the 12 bits after the milliseconds hold the fraction of the millisecond.
    Not thread-safe: belongs to the one writer.
    """

    _last: int = 0

    def next_uuid(self, now_us: int) -> uuid.UUID:
        """A name for an image created at ``now_us`` microseconds since 1970."""
        ms, fraction_us = divmod(now_us, 1_000)
        self._last = max(self._last + 1, ms << 12 | fraction_us * 4_096 // 1_000)
        ms, fraction = self._last >> 12, self._last & 0xFFF
        return uuid.UUID(int=ms << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62))


def image_name(image: uuid.UUID) -> str:
    """The resource name of an image."""
    return f"images/{image}"


def parse_image_name(name: str) -> ImageKey:
    """The key in ``images/{uuid}`` or ``images/{number}``.

    Raises ``InvalidArgumentError(INVALID_NAME)`` for anything else.
    """
    if found := _UUID_NAME.fullmatch(name):
        return uuid.UUID(found[1])
    if (found := _NUMBER_NAME.fullmatch(name)) and int(found[1]) <= _MAX_NUMBER:
        return int(found[1])
    raise InvalidArgumentError(
        Reason.INVALID_NAME,
        "An image's name is images/ and its UUID in lower case, or images/ and its number.",
        name=name[:_MAX_SHOWN_CHARS],
    )


def image_not_found(key: ImageKey) -> NotFoundError:
    """The answer when there is no such image, or a deleted one."""
    return NotFoundError(
        Reason.IMAGE_NOT_FOUND,
        f"There is no image images/{key}; it may have been deleted.",
        name=f"images/{key}",
    )
