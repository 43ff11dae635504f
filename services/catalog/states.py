"""The life of an image, without any store.

A result outranks a failure: PROCESSED never becomes FAILED, so messages that come twice or late cannot take
a result away. FAILED and STORED end when the image is analysed after all.
"""

from __future__ import annotations

from enum import IntEnum

from services.runtime.errors import FailedPreconditionError, Reason


class ImageState(IntEnum):
    """Where an image is; the numbers are those of ``Image.State``."""

    PENDING = 1
    PROCESSING = 2
    PROCESSED = 3
    FAILED = 4
    STORED = 5

    @property
    def is_final(self) -> bool:
        """True when nothing is under way."""
        return self not in {ImageState.PENDING, ImageState.PROCESSING}


OUTCOMES = (ImageState.PROCESSED, ImageState.FAILED)


def started(state: ImageState) -> ImageState:
    """The state once a worker holds the image; a final state stays."""
    return ImageState.PROCESSING if state is ImageState.PENDING else state


def finished(state: ImageState, outcome: ImageState) -> ImageState:
    """The state once a worker is done, ``outcome`` being PROCESSED or FAILED.

    Raises ``FailedPreconditionError(WRONG_STATE)`` where the move is not allowed.
    """
    if outcome not in OUTCOMES:
        raise _refusal(state, outcome, "A worker ends an image as PROCESSED or FAILED.")
    if state is ImageState.PROCESSED and outcome is ImageState.FAILED:
        raise _refusal(state, outcome, "The image was processed before, and its results stay.")
    return outcome


def _refusal(state: ImageState, outcome: ImageState, rule: str) -> FailedPreconditionError:
    return FailedPreconditionError(
        Reason.WRONG_STATE,
        f"An image cannot go from {state.name} to {outcome.name}. {rule}",
        state=state.name,
    )
