"""Child processes for jobs that may crash, hang or eat memory: native decoders on bytes of strangers.

A bulkhead, not a sandbox: it bounds time and memory and survives a crash. Children are fresh interpreters
(never forks of a process with threads), started on first use, kept warm, replaced when they end.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, TypeVarTuple, Unpack

from prometheus_client import CollectorRegistry, Counter

from services.runtime import child_wire
from services.runtime.child_job import MIB, Failed, Refused, Returned
from services.runtime.errors import ServiceError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Answer = Returned | Refused | Failed

START_TIMEOUT_S = 30.0
# How long a deadline or a cancellation may go unnoticed.
_LOOK_S = 0.02
# The rest may hold secrets, and is no business of a decoder.
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "OPENBLAS_NUM_THREADS": "1"}
# Not `-m`: pickles would look for the module's classes in __main__.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[4:]; from services.runtime.child_job import serve; "
    "serve(*map(int, sys.argv[1:4]))"
)


def _nothing() -> None:
    """What there is to prepare where nothing is said."""


class JobError(Exception):
    """A job ended without a result or a ServiceError of its own."""

    outcome: ClassVar[str] = "failed"


class JobTimedOutError(JobError):
    """The job took longer than its ``timeout_s`` and was killed."""

    outcome: ClassVar[str] = "timed_out"


class JobCancelledError(JobError):
    """Its caller gave the job up, and it was killed."""

    outcome: ClassVar[str] = "cancelled"


class JobOutOfMemoryError(JobError):
    """The job wanted more memory than ``memory_mb``."""

    outcome: ClassVar[str] = "out_of_memory"


class ChildDiedError(JobError):
    """The child ended in the middle of the job; ``exit_code`` is minus the signal where one killed it."""

    outcome: ClassVar[str] = "died"

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"a child process ended with exit code {exit_code}")
        self.exit_code = exit_code


class ChildrenBusyError(JobError):
    """No child was to be had: all are busy, none starts, or the pool is closed. The job may be repeated."""

    outcome: ClassVar[str] = "busy"


class ChildProcesses:
    """Runs jobs in at most ``size`` child processes; safe to share between threads.

    ``prepare`` is called once in each new child, before the clock of its first job runs: imports and
    settings of libraries. ``memory_mb`` is what jobs may take on top of what a prepared child has (0 for no
    bound; Linux only). Jobs, ``prepare`` and their arguments are pickled, functions by their import path.
    ``name`` stands in the metric ``sightmill_<name>_jobs_total{outcome}``; outcomes are done, refused and the
    ``outcome`` of each JobError.
    """

    def __init__(
        self,
        name: str,
        size: int,
        *,
        memory_mb: int = 0,
        prepare: Callable[[], object] = _nothing,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._memory_mb = memory_mb
        self._prepare = prepare
        self._free = threading.Semaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()
        self._closed = False
        self.jobs = Counter(
            f"sightmill_{name}_jobs", "Jobs of child processes, by how they ended", ["outcome"],
            registry=registry or CollectorRegistry(),
        )  # fmt: skip

    def call(
        self,
        function: Callable[[Unpack[Ts]], T],
        *args: *Ts,
        timeout_s: float,
        cancelled: threading.Event | None = None,
    ) -> T:
        """What ``function(*args)`` returns in a child; blocks, so call it in a worker thread.

        Waits at most ``timeout_s`` for a free child, then gives the job ``timeout_s``. A job that is over
        its time, or whose ``cancelled`` is set, is killed within a tenth of a second. Raises the
        ServiceError of the job as it is, and JobError for everything else.
        """
        outcome = "done"
        try:
            return self._call(function, args, timeout_s, cancelled)
        except ServiceError:
            outcome = "refused"
            raise
        except JobError as error:
            outcome = error.outcome
            raise
        finally:
            self.jobs.labels(outcome).inc()

    def close(self) -> None:
        """Kills all children, working ones too; their callers get ChildrenBusyError."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            working = self._children.difference(idle)
        for child in idle:
            self._discard(child)
        for child in working:
            child.process.kill()  # the caller sees the end of its stream, and does the rest

    def _call(
        self,
        function: Callable[..., T],
        args: tuple[Any, ...],
        timeout_s: float,
        cancelled: threading.Event | None,
    ) -> T:
        _wait_for(self._free, _Watch(timeout_s, cancelled))
        try:
            child = self._take(cancelled)
            try:
                answer = child.ask((function, args), _Watch(timeout_s, cancelled))
            except BaseException as error:
                self._discard(child)
                if self._closed and isinstance(error, ChildDiedError):
                    raise ChildrenBusyError("the pool is closed") from None
                raise
            if isinstance(answer, Failed) and answer.out_of_memory:
                self._discard(child)  # what a library made of the missing memory is anybody's guess
            else:
                self._put_back(child)
        finally:
            self._free.release()
        value: T = _open(answer)
        return value

    def _take(self, cancelled: threading.Event | None) -> _Child:
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                return self._start(cancelled)
            if child.process.poll() is None:
                return child
            self._discard(child)

    def _start(self, cancelled: threading.Event | None) -> _Child:
        with self._lock:
            if self._closed:
                raise ChildrenBusyError("the pool is closed")
            child = _Child.start(self._memory_mb)
            self._children.add(child)
        try:
            _open(child.ask((self._prepare, ()), _Watch(START_TIMEOUT_S, cancelled)))
        except BaseException as error:
            self._discard(child)
            if isinstance(error, JobError) and not isinstance(error, JobCancelledError):
                raise ChildrenBusyError("a child process does not start") from error
            raise
        return child

    def _put_back(self, child: _Child) -> None:
        with self._lock:
            closed = self._closed
            if not closed:
                self._idle.append(child)
        if closed:
            self._discard(child)

    def _discard(self, child: _Child) -> None:
        with self._lock:
            self._children.discard(child)
        child.kill()


@dataclass(eq=False, slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    stream: socket.socket
    lifeline_fd: int
    max_answer_bytes: int

    @classmethod
    def start(cls, memory_mb: int) -> _Child:
        ours, theirs = socket.socketpair()
        read_fd, lifeline_fd = os.pipe()
        numbers = [str(number) for number in (theirs.fileno(), read_fd, memory_mb)]
        path = [os.path.abspath(folder) for folder in sys.path]  # noqa: PTH100  "" is the current folder
        try:
            process = subprocess.Popen(  # noqa: S603  this interpreter, our program
                [sys.executable, "-c", _PROGRAM, *numbers, *path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=(theirs.fileno(), read_fd),
                process_group=0,
            )
        except OSError as error:
            ours.close()
            os.close(lifeline_fd)
            raise ChildrenBusyError("the system starts no child process") from error
        finally:
            theirs.close()
            os.close(read_fd)
        ours.settimeout(_LOOK_S)
        return cls(process, ours, lifeline_fd, memory_mb * MIB or sys.maxsize)

    def ask(self, job: object, watch: _Watch) -> Answer:
        """The answer to one job; after any error but its own the child is of no use any more."""
        try:
            child_wire.send(self.stream, child_wire.pack(job), watch.check)
            parts = child_wire.receive(self.stream, watch.check, self.max_answer_bytes)
        except child_wire.WireError as error:
            raise ChildDiedError(self._exit_code()) from error
        try:
            answer = child_wire.unpack(parts)
        except Exception as error:  # a child that went mad may send anything
            raise ChildDiedError(None) from error
        if not isinstance(answer, Answer):
            raise ChildDiedError(None)
        return answer

    def kill(self) -> None:
        """Ends it now, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.stream.close()
        os.close(self.lifeline_fd)

    def _exit_code(self) -> int | None:
        try:
            return self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return None


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | _ONE_THREAD


class _Watch:
    """A deadline and a cancellation, looked at together."""

    def __init__(self, timeout_s: float, cancelled: threading.Event | None) -> None:
        self._timeout_s = timeout_s
        self._ends_s = time.monotonic() + timeout_s
        self._cancelled = cancelled

    def check(self) -> None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise JobCancelledError("cancelled")
        if time.monotonic() >= self._ends_s:
            raise JobTimedOutError(f"not done within {self._timeout_s:g} seconds")


def _wait_for(free: threading.Semaphore, watch: _Watch) -> None:
    while not free.acquire(timeout=_LOOK_S):
        try:
            watch.check()
        except JobTimedOutError as error:
            raise ChildrenBusyError("no child process became free in time") from error


def _open(answer: Answer) -> Any:
    if isinstance(answer, Returned):
        return answer.value
    if isinstance(answer, Refused):
        raise answer.error()
    if answer.out_of_memory:
        raise JobOutOfMemoryError("the job wanted more memory than it may take")
    raise JobError(answer.trace)
