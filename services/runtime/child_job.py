"""What runs inside a child process: takes jobs from its parent one by one until the parent is gone."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from services.runtime import child_wire
from services.runtime.errors import ServiceError

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Returned:
    """What the job returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """A ServiceError of the job in parts, because its constructor takes what a pickle does not keep."""

    kind: type[ServiceError]
    reason: Any
    message: str
    retry_after_s: float | None
    metadata: dict[str, str]

    def error(self) -> ServiceError:
        """The error as the job raised it."""
        return self.kind(self.reason, self.message, retry_after_s=self.retry_after_s, **self.metadata)


@dataclass(frozen=True, slots=True)
class Failed:
    """Anything else that the job raised, as a trace."""

    trace: str
    out_of_memory: bool


def serve(jobs_fd: int, parent_fd: int, memory_mb: int) -> None:
    """Lives as long as the parent. ``memory_mb`` bounds one job (0: no bound), ``parent_fd`` is a pipe."""
    # The parent decides when a child ends; a stop signal to the whole group lets it finish its job.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _die_with(parent_fd)
    _offer_to_the_oom_killer()
    with socket.socket(fileno=jobs_fd) as jobs:
        try:
            answer = _answer(_receive(jobs))  # the first job prepares
            _limit_memory(memory_mb)
            while True:
                child_wire.send(jobs, answer, _no_deadline)
                del answer  # its arrays, before the next job makes new ones
                answer = _answer(_receive(jobs))
        except child_wire.WireError:
            return


def _answer(job: list[bytearray]) -> list[memoryview]:
    """Does a job and packs what comes of it; what does not unpickle or pickle has failed, too."""
    try:
        function, arguments = cast("tuple[Callable[..., object], tuple[object, ...]]", child_wire.unpack(job))
        job.clear()  # the pickle itself, as large as what was in it
        return child_wire.pack(Returned(function(*arguments)))
    except ServiceError as error:
        refused = Refused(type(error), error.reason, error.message, error.retry_after_s, error.metadata)
        return child_wire.pack(refused)
    except MemoryError:
        return child_wire.pack(Failed("MemoryError", out_of_memory=True))
    except Exception:  # noqa: BLE001  the parent raises it
        return child_wire.pack(Failed(traceback.format_exc(), out_of_memory=False))


def _receive(jobs: socket.socket) -> list[bytearray]:
    return child_wire.receive(jobs, _no_deadline, max_bytes=sys.maxsize)


def _no_deadline() -> None:
    """A child waits for its parent as long as it lives."""


def _die_with(parent_fd: int) -> None:
    """Has the kernel end this process when the parent's end of the pipe closes, however the parent dies.

    A thread that watches would not run while native code holds the GIL, and PR_SET_PDEATHSIG already fires
    when the parent's *thread* ends. SIGIO ends a process on Linux; elsewhere a child ends after its job.
    """
    fcntl.fcntl(parent_fd, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(parent_fd, fcntl.F_GETFL)
    fcntl.fcntl(parent_fd, fcntl.F_SETFL, flags | os.O_ASYNC)


def _offer_to_the_oom_killer() -> None:
    with suppress(OSError):  # a wish: elsewhere there is no such file, and some containers lock it
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit_memory(memory_mb: int) -> None:
    """Bounds what jobs may take on top of what this process has now.

    Linux alone counts private memory against RLIMIT_DATA; elsewhere jobs are bounded by time only.
    """
    statm = Path("/proc/self/statm")
    if not memory_mb or not statm.exists():
        return
    data_bytes = int(statm.read_text().split()[5]) * resource.getpagesize()
    limit_bytes = data_bytes + memory_mb * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
