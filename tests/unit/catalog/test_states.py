"""The life of an image."""

from __future__ import annotations

import pytest

from services.catalog.states import ImageState, finished, started
from services.runtime.errors import FailedPreconditionError, Reason
from sightmill.v1 import catalog_pb2

PENDING, PROCESSING, PROCESSED, FAILED, STORED = ImageState
AFTER = {
    (PENDING, PROCESSED): PROCESSED,
    (PENDING, FAILED): FAILED,
    (PROCESSING, PROCESSED): PROCESSED,
    (PROCESSING, FAILED): FAILED,
    (PROCESSED, PROCESSED): PROCESSED,
    (FAILED, PROCESSED): PROCESSED,
    (FAILED, FAILED): FAILED,
    (STORED, PROCESSED): PROCESSED,
    (STORED, FAILED): FAILED,
}


def test_the_numbers_are_those_of_the_contract() -> None:
    assert {state.name: int(state) for state in ImageState} == {
        name: number for name, number in catalog_pb2.Image.State.items() if number
    }


def test_final_states_have_nothing_under_way() -> None:
    assert [state for state in ImageState if state.is_final] == [PROCESSED, FAILED, STORED]


@pytest.mark.parametrize("state", list(ImageState))
def test_starting_moves_pending_images_alone(state: ImageState) -> None:
    assert started(state) is (PROCESSING if state is PENDING else state)


@pytest.mark.parametrize("outcome", list(ImageState))
@pytest.mark.parametrize("state", list(ImageState))
def test_only_these_moves_are_allowed(state: ImageState, outcome: ImageState) -> None:
    if (state, outcome) in AFTER:
        assert finished(state, outcome) is AFTER[state, outcome]
        return
    with pytest.raises(FailedPreconditionError) as refusal:
        finished(state, outcome)
    assert refusal.value.reason == Reason.WRONG_STATE
    assert refusal.value.metadata == {"state": state.name}
    assert state.name in refusal.value.message
    assert outcome.name in refusal.value.message
