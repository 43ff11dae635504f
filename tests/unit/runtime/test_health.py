"""What the health board says of a process."""

from __future__ import annotations

import asyncio

import pytest
from grpc_health.v1 import health_pb2

from services.runtime import health
from services.runtime.health import HealthBoard
from services.runtime.telemetry import build_metrics
from tests.servers.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Dependency:
    """Answers or fails as it is told."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        if self.problem:
            raise self.problem


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> HealthBoard:
    monkeypatch.setattr(health, "STARTING_INTERVAL_S", 0.0)
    monkeypatch.setattr(health, "SERVING_INTERVAL_S", 0.0)
    return HealthBoard(build_metrics(), services=["", "some.Service"])


async def state(board: HealthBoard, service: str = "some.Service") -> int:
    answer = await board.servicer.Check(health_pb2.HealthCheckRequest(service=service), None)
    return int(answer.status)


def up(board: HealthBoard, name: str) -> float | None:
    return board.metrics.registry.get_sample_value("sightmill_dependency_up", {"dependency": name})


async def test_serving_begins_when_every_check_has_passed(board: HealthBoard) -> None:
    slow, quick = Dependency(ConnectionError("refused")), Dependency()
    board.add_check("slow", slow.check)
    board.add_check("quick", quick.check)
    await board.mark(serving=False)
    assert board.report()["dependencies"] == {"slow": "not checked yet", "quick": "not checked yet"}
    stop = asyncio.Event()
    watching = asyncio.create_task(board.watch(stop))
    await until(lambda: slow.asked > 3, "checks are repeated")
    assert await state(board) == NOT_SERVING
    assert board.report() == {
        "status": "starting",
        "dependencies": {"slow": "ConnectionError: refused", "quick": "ok"},
        "fallbacks": {},
    }
    assert (up(board, "slow"), up(board, "quick")) == (0, 1)
    slow.problem = None
    await until(lambda: board.serving, "serving")
    assert await state(board) == await state(board, "") == SERVING
    assert board.report()["status"] == "serving"
    stop.set()
    await watching


async def test_a_dependency_that_goes_away_degrades_but_does_not_stop_serving(board: HealthBoard) -> None:
    store = Dependency()
    board.add_check("store", store.check)
    stop = asyncio.Event()
    watching = asyncio.create_task(board.watch(stop))
    await until(lambda: board.serving, "serving")
    store.problem = ValueError()
    await until(lambda: board.report()["status"] == "degraded", "degraded")
    assert board.report()["dependencies"] == {"store": "ValueError"}
    assert await state(board) == SERVING
    stop.set()
    await watching


async def test_a_check_that_hangs_is_a_problem(monkeypatch: pytest.MonkeyPatch, board: HealthBoard) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.01)
    board.add_check("hangs", asyncio.Event().wait)  # type: ignore[arg-type]  # what it returns is not used
    stop = asyncio.Event()
    watching = asyncio.create_task(board.watch(stop))
    await until(lambda: board.report()["dependencies"] == {"hangs": "TimeoutError"}, "the check timed out")
    assert not board.serving
    stop.set()
    await watching


async def test_drained_is_for_good(board: HealthBoard) -> None:
    store = Dependency()
    board.add_check("store", store.check)
    await board.drain()
    stop = asyncio.Event()
    watching = asyncio.create_task(board.watch(stop))
    await until(lambda: store.asked > 3, "checks go on")
    assert await state(board) == NOT_SERVING
    assert board.report()["status"] == "draining"
    stop.set()
    await watching


async def test_a_fallback_is_told(board: HealthBoard) -> None:
    board.add_fallback("faces", "Haar cascade; install onnxruntime for better ones")
    await board.mark(serving=True)
    assert board.report()["status"] == "degraded"
    assert board.report()["fallbacks"] == {"faces": "Haar cascade; install onnxruntime for better ones"}
