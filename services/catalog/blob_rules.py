"""What becomes of bytes that images refer to, without any store.

Bytes that nothing refers to are garbage. Garbage is condemned before it is collected, and nothing may refer
to what is condemned: so whoever deletes the bytes needs to look at nothing else.
"""

from __future__ import annotations

from enum import IntEnum

from services.catalog.model import NewImage
from services.runtime.errors import AbortedError, InvalidArgumentError, Reason, UnavailableError

# A sweep deletes a batch of files between condemning and forgetting.
_COLLECTING_RETRY_S = 2.0


class BlobFate(IntEnum):
    """What became of bytes."""

    KEPT = 0
    CONDEMNED = 1
    COLLECTED = 2


def refuse_other_facts(new: NewImage, blob_key: str, size_bytes: int) -> None:
    """Equal bytes have one key and one size; raises ``InvalidArgumentError(INVALID_FIELD)``."""
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


def refuse_lost_bytes(fate: int, generation: int, blob_generation: int) -> None:
    """Nothing may refer to bytes that are or were collected. See ``CatalogStore.create_image``."""
    if fate == BlobFate.CONDEMNED:
        raise UnavailableError(
            Reason.BLOB_BEING_COLLECTED,
            "These bytes are being collected as garbage at this moment; repeat the call in a moment.",
            retry_after_s=_COLLECTING_RETRY_S,
        )
    if fate == BlobFate.COLLECTED and generation != blob_generation:
        raise AbortedError(
            Reason.BLOB_COLLECTED,
            "These bytes were collected as garbage; store them again, then repeat with this generation.",
            generation=generation,
        )
