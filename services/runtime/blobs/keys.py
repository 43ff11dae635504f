"""Which keys are valid. A key becomes a path or a URL, so nothing a client sent may become a key."""

from __future__ import annotations

import re

from services.runtime.errors import InvalidArgumentError, Reason

KEY_MAX_CHARS = 512
# A segment begins with no dot: that keeps `..` and hidden folders out.
_SEGMENT = r"[a-z0-9_-][a-z0-9_.-]{0,199}"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def blob_key(sha256_hex: str) -> str:
    """The key of bytes by their SHA-256, spread over 65,536 folders."""
    if not _DIGEST.fullmatch(sha256_hex):
        raise InvalidArgumentError(Reason.INVALID_NAME, "A SHA-256 is 64 lower-case hexadecimal digits.")
    return f"sha256/{sha256_hex[:2]}/{sha256_hex[2:4]}/{sha256_hex}"


def check_key(key: str) -> str:
    """The key itself; raises ``InvalidArgumentError(INVALID_NAME)`` when it is none."""
    if len(key) > KEY_MAX_CHARS or not _KEY.fullmatch(key):
        raise InvalidArgumentError(
            Reason.INVALID_NAME,
            f"A blob key is segments of a-z 0-9 _ . - joined by '/', none begins with a dot, "
            f"at most 200 characters each and {KEY_MAX_CHARS} in all.",
        )
    return key


def check_prefix(prefix: str) -> str:
    """The prefix without its last slash; empty stands for all."""
    return check_key(prefix.removesuffix("/")) if prefix else ""
