"""Jobs in child processes: whatever a job does, its caller gets an answer and the next job is served."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from services.runtime.child_processes import (
    ChildDiedError,
    ChildProcesses,
    ChildrenBusyError,
    JobCancelledError,
    JobError,
    JobOutOfMemoryError,
    JobTimedOutError,
)
from services.runtime.errors import InvalidArgumentError, Reason
from tests.unit.runtime import child_jobs

# For jobs that end by themselves, however busy the machine is.
LONG_S = 30.0


@pytest.fixture(scope="module")
def pool() -> Iterator[ChildProcesses]:
    children = ChildProcesses("test", 2, memory_mb=200, prepare=child_jobs.prepare)
    yield children
    children.close()


def count(pool: ChildProcesses, outcome: str) -> float:
    return float(pool.jobs.labels(outcome)._value.get())


def wait_until_gone(pid: int) -> None:
    deadline_s = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline_s, f"process {pid} lives on"
        time.sleep(0.01)


def test_results_come_back_whole(pool: ChildProcesses) -> None:
    array = pool.call(child_jobs.make_array, 3_000_000, timeout_s=LONG_S)
    assert (array == np.arange(3_000_000, dtype=np.uint32).astype(np.uint8)).all()


def test_a_child_is_kept_and_prepared_once(pool: ChildProcesses) -> None:
    first = pool.call(child_jobs.identify, timeout_s=LONG_S)
    assert pool.call(child_jobs.identify, timeout_s=LONG_S) == first
    assert pool.call(child_jobs.prepared, timeout_s=LONG_S) == ["once"]


def test_a_refusal_of_the_job_comes_back_as_itself(pool: ChildProcesses) -> None:
    before = count(pool, "refused")
    with pytest.raises(InvalidArgumentError) as caught:
        pool.call(child_jobs.refuse, timeout_s=LONG_S)
    error = caught.value
    assert (error.reason, error.message) == (Reason.IMAGE_UNDECODABLE, "It does not decode.")
    assert (error.retry_after_s, error.metadata) == (2.5, {"limit_pixels": "7"})
    assert count(pool, "refused") == before + 1


def test_other_errors_carry_their_trace_and_cost_no_child(pool: ChildProcesses) -> None:
    child = pool.call(child_jobs.identify, timeout_s=LONG_S)
    with pytest.raises(JobError, match="ValueError: the trouble"):
        pool.call(child_jobs.fail, timeout_s=LONG_S)
    with pytest.raises(JobError, match="cannot pickle"):
        pool.call(child_jobs.return_a_lock, timeout_s=LONG_S)
    assert pool.call(child_jobs.identify, timeout_s=LONG_S) == child


@pytest.mark.parametrize(("job", "exit_code"), [(child_jobs.crash, -11), (child_jobs.leave, 3)])
def test_a_death_is_answered_and_the_child_replaced(
    pool: ChildProcesses, job: Callable[[], None], exit_code: int
) -> None:
    before = count(pool, "died")
    with pytest.raises(ChildDiedError) as caught:
        pool.call(job, timeout_s=LONG_S)
    assert caught.value.exit_code == exit_code
    assert pool.call(child_jobs.hold, 1, timeout_s=LONG_S) == 1
    assert count(pool, "died") == before + 1


def test_an_idle_child_that_dies_is_replaced_unnoticed(pool: ChildProcesses) -> None:
    child = pool.call(child_jobs.identify, timeout_s=LONG_S)
    psutil.Process(child).kill()
    wait_until_gone(child)
    assert pool.call(child_jobs.identify, timeout_s=LONG_S) != child


def test_a_job_that_hangs_is_killed_at_its_deadline(pool: ChildProcesses) -> None:
    child = pool.call(child_jobs.identify, timeout_s=LONG_S)
    started_s = time.monotonic()
    with pytest.raises(JobTimedOutError):
        pool.call(child_jobs.hang_in_native_code, timeout_s=0.3)
    assert time.monotonic() - started_s < 2
    assert not psutil.pid_exists(child)


def test_a_job_that_is_cancelled_is_killed(pool: ChildProcesses) -> None:
    child = pool.call(child_jobs.identify, timeout_s=LONG_S)
    cancelled = threading.Event()
    with ThreadPoolExecutor(1) as caller:
        job = caller.submit(
            lambda: pool.call(child_jobs.hang_in_native_code, timeout_s=LONG_S, cancelled=cancelled)
        )
        cancelled.set()
        assert isinstance(job.exception(timeout=5), JobCancelledError)
    with pytest.raises(JobCancelledError):
        pool.call(child_jobs.identify, timeout_s=LONG_S, cancelled=cancelled)
    assert not psutil.pid_exists(child)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of a process")
def test_memory_is_bounded(pool: ChildProcesses) -> None:
    assert pool.call(child_jobs.hold, 150, timeout_s=LONG_S) == 1
    with pytest.raises(JobOutOfMemoryError):
        pool.call(child_jobs.eat_memory, timeout_s=LONG_S)
    with pytest.raises(JobOutOfMemoryError):
        pool.call(child_jobs.hold, 250, timeout_s=LONG_S)
    assert pool.call(child_jobs.hold, 150, timeout_s=LONG_S) == 1


def test_many_threads_share_few_children(pool: ChildProcesses) -> None:
    with ThreadPoolExecutor(8) as callers:
        jobs = [callers.submit(lambda: pool.call(child_jobs.identify, timeout_s=LONG_S)) for _ in range(100)]
        assert len({job.result() for job in jobs}) <= 2


def find_busy(pool: ChildProcesses) -> bool:
    """Calls until the other caller has the child."""
    while True:
        try:
            pool.call(child_jobs.identify, timeout_s=0.1)
        except ChildrenBusyError:
            return True


def test_waiting_for_a_child_has_an_end() -> None:
    pool = ChildProcesses("busy", 1)
    child = pool.call(child_jobs.identify, timeout_s=LONG_S)
    with ThreadPoolExecutor(1) as caller:
        job = caller.submit(lambda: pool.call(child_jobs.hang_in_native_code, timeout_s=LONG_S))
        assert find_busy(pool)
        pool.close()
        assert isinstance(job.exception(timeout=5), ChildrenBusyError)
    assert not psutil.pid_exists(child)
    with pytest.raises(ChildrenBusyError):
        pool.call(child_jobs.identify, timeout_s=LONG_S)


def test_a_child_that_does_not_start_is_no_fault_of_the_job() -> None:
    pool = ChildProcesses("broken", 1, prepare=child_jobs.leave)
    with pytest.raises(ChildrenBusyError) as caught:
        pool.call(child_jobs.identify, timeout_s=LONG_S)
    assert isinstance(caught.value.__cause__, ChildDiedError)
    pool.close()


def test_a_system_that_starts_no_process_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    pool = ChildProcesses("none", 1)
    for _ in range(2):
        with pytest.raises(ChildrenBusyError):
            pool.call(child_jobs.identify, timeout_s=LONG_S)
    pool.close()


def test_a_child_keeps_out_of_the_way(
    pool: ChildProcesses, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIGHTMILL_SECRET", "x")
    new = ChildProcesses("quiet", 1)
    try:
        found = new.call(child_jobs.describe, timeout_s=LONG_S)
        assert new.call(child_jobs.speak, timeout_s=LONG_S) == "spoken"
    finally:
        new.close()
    assert found["sigterm"]
    assert found["sigint"]
    assert found["group"]
    assert found["threads"] == "1"
    assert "SIGHTMILL_SECRET" not in str(found["environment"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child ends after its job")
def test_a_child_ends_with_its_parent_however_that_dies() -> None:
    command = [sys.executable, "-c", "from tests.unit.runtime import child_jobs; child_jobs.be_a_parent()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    wait_until_gone(child)
