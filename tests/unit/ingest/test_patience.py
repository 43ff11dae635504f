"""How long a step is repeated."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import grpc
import pytest

from services.ingest import patience as patience_module
from services.ingest.keyed_stream import StreamBrokenError
from services.ingest.patience import LONGEST_PAUSE_S, MAX_BREAKS, MAX_FAULTS, Patience
from services.runtime import errors
from services.runtime.errors import Reason, ServiceError

AWAY = errors.UnavailableError(Reason.SERVICE_UNAVAILABLE, "Away.")
FULL = errors.ResourceExhaustedError(Reason.OVERLOADED, "Full.")
BROKEN = StreamBrokenError(Reason.SERVICE_UNAVAILABLE, "Broken.")
FAULT = errors.InternalError(Reason.DETECTOR_FAILED, "Failed.")
LATE = errors.DeadlineError(Reason.DEADLINE, "Late.")


class Step:
    """Raises what it is told, then answers."""

    def __init__(self, *problems: BaseException, then: str = "done") -> None:
        self._problems: Iterator[BaseException] = iter(problems)
        self.calls = 0
        self._answer = then

    async def __call__(self) -> str:
        self.calls += 1
        if problem := next(self._problems, None):
            raise problem
        return self._answer


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def patience(pauses: list[float]) -> Patience:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    return Patience(pause)


async def test_a_step_that_succeeds_is_done_once(patience: Patience, pauses: list[float]) -> None:
    step = Step()
    assert await patience.outlast("analyzer", step) == "done"
    assert (step.calls, pauses) == (1, [])


@pytest.mark.parametrize("problem", [AWAY, FULL], ids=["away", "full"])
async def test_a_service_that_is_away_is_waited_for_without_end(
    patience: Patience, pauses: list[float], problem: ServiceError
) -> None:
    step = Step(*itertools.repeat(problem, 1_000))
    assert await patience.outlast("analyzer", step) == "done"
    assert step.calls == 1_001
    assert 0 < pauses[0] <= 0.1
    assert max(pauses) <= LONGEST_PAUSE_S
    assert min(pauses[10:]) >= LONGEST_PAUSE_S / 2, "pauses grow"


async def test_an_image_that_breaks_its_service_is_given_up(patience: Patience) -> None:
    step = Step(*itertools.repeat(BROKEN, MAX_BREAKS))
    with pytest.raises(errors.InternalError) as caught:
        await patience.outlast("analyzer", step)
    assert caught.value.reason == Reason.ANALYSIS_ABANDONED
    assert caught.value.metadata == {"attempts": str(MAX_BREAKS)}
    assert step.calls == MAX_BREAKS


async def test_breaks_below_the_bound_are_survived(patience: Patience) -> None:
    assert await patience.outlast("analyzer", Step(*itertools.repeat(BROKEN, MAX_BREAKS - 1))) == "done"


async def test_a_service_that_is_away_does_not_count_against_the_image(patience: Patience) -> None:
    interleaved = [problem for _ in range(MAX_BREAKS - 1) for problem in (BROKEN, *[AWAY] * 20)]
    assert await patience.outlast("analyzer", Step(*interleaved)) == "done"


@pytest.mark.parametrize("fault", [FAULT, LATE, TimeoutError()], ids=["fault", "deadline", "timeout"])
async def test_three_faults_are_enough(patience: Patience, fault: Exception) -> None:
    step = Step(*itertools.repeat(fault, MAX_FAULTS))
    with pytest.raises(ServiceError) as caught:
        await patience.outlast("analyzer", step)
    assert caught.value.code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert step.calls == MAX_FAULTS
    assert await patience.outlast("analyzer", Step(*itertools.repeat(fault, MAX_FAULTS - 1))) == "done"


@pytest.mark.parametrize(
    "problem",
    [
        errors.UnavailableError(Reason.PROVIDER_UNAVAILABLE, "No model answers."),
        errors.ResourceExhaustedError(Reason.BUDGET_EXHAUSTED, "Spent."),
    ],
    ids=["away", "spent"],
)
async def test_a_model_behind_a_service_is_not_waited_for_without_end(
    patience: Patience, problem: ServiceError
) -> None:
    step = Step(*itertools.repeat(problem, MAX_FAULTS))
    with pytest.raises(type(problem)) as caught:
        await patience.outlast("captioner", step)
    assert caught.value is problem
    assert step.calls == MAX_FAULTS


@pytest.mark.parametrize(
    "refusal",
    [
        errors.InvalidArgumentError(Reason.IMAGE_UNDECODABLE, "No image."),
        errors.NotFoundError(Reason.BLOB_NOT_FOUND, "Gone."),
        errors.FailedPreconditionError(Reason.PROVIDER_REFUSED, "No."),
        errors.UnimplementedError(Reason.NOT_SERVED_YET, "Later."),
        errors.DataLossError(Reason.DATA_DAMAGED, "Damaged."),
    ],
)
async def test_a_final_refusal_comes_through_at_once(patience: Patience, refusal: ServiceError) -> None:
    step = Step(refusal)
    with pytest.raises(type(refusal)) as caught:
        await patience.outlast("analyzer", step)
    assert caught.value is refusal
    assert step.calls == 1


async def test_a_failed_call_is_judged_by_its_status(patience: Patience) -> None:
    def failed(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())

    assert await patience.outlast("catalog", Step(failed(grpc.StatusCode.UNAVAILABLE))) == "done"
    with pytest.raises(errors.InternalError):
        await patience.outlast("catalog", Step(*[failed(grpc.StatusCode.UNKNOWN)] * MAX_FAULTS))


async def test_what_is_no_error_of_a_service_is_not_repeated(patience: Patience) -> None:
    step = Step(KeyError("bug"))
    with pytest.raises(KeyError):
        await patience.outlast("analyzer", step)
    assert step.calls == 1


def test_ten_breaks_and_three_faults_are_what_the_documents_say() -> None:
    assert (patience_module.MAX_BREAKS, patience_module.MAX_FAULTS) == (10, 3)
