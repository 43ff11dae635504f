"""A fixed number of threads, and who is next: no caller's queue stands before another's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

Result = TypeVar("Result")
CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    work: Callable[[], object]
    future: asyncio.Future[Any]

    def run(self) -> None:
        if self.future.cancelled():
            return
        try:
            result = self.work()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
            self._settle(self.future.set_exception, error)
            del self  # the error's trace holds this frame, and would hold itself and the image
        else:
            self._settle(self.future.set_result, result)

    def _settle(self, settle: Callable[[Any], None], outcome: object) -> None:
        def unless_done() -> None:
            if not self.future.done():
                settle(outcome)

        with suppress(RuntimeError):  # a closed loop waits for nothing
            self.future.get_loop().call_soon_threadsafe(unless_done)


class Crew:
    """Runs jobs: single ones and those of streams by turns, the streams by turns among themselves.

    So a single job waits for one job of a stream, however many streams there are, and a flood of single jobs
    leaves every other turn to streams. Within a stream, and among single jobs, the first come is next.
    """

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._work_or_end = threading.Condition(self._lock)
        self._single: deque[_Job] = deque()
        # The first stream is next; none is here without a job.
        self._streams: dict[object, deque[_Job]] = {}
        self._single_is_next = True
        self._closed = False
        # Daemons: native code that hangs must not keep a process from its end.
        self._threads = [
            threading.Thread(target=self._live, name=f"look-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], Result], stream: object | None = None) -> asyncio.Future[Result]:
        """Queues a job of ``stream`` (any hashable object), or a single one.

        Nothing is kept of a job whose future is cancelled before its turn.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = _Job(work, future)
        with self._lock:
            queue = self._single if stream is None else self._streams.setdefault(stream, deque())
            queue.append(job)
            self._work_or_end.notify()
        future.add_done_callback(lambda done: self._withdraw(job, stream) if done.cancelled() else None)
        return future

    def close(self) -> None:
        """Cancels what waits, and gives the threads CLOSE_TIMEOUT_S to end what they are at."""
        with self._lock:
            self._closed = True
            waiting = [*self._single, *(job for queue in self._streams.values() for job in queue)]
            self._work_or_end.notify_all()
        for job in waiting:
            job.future.cancel()
        ends = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))
        late = sum(thread.is_alive() for thread in self._threads)
        if late:
            structlog.get_logger(__name__).warning("threads_left_at_work", threads=late)

    def _live(self) -> None:
        while job := self._wait():
            job.run()
            del job  # an idle thread must not keep an image

    def _wait(self) -> _Job | None:
        with self._lock:
            self._work_or_end.wait_for(lambda: self._closed or self._single or self._streams)
            return None if self._closed else self._take()

    def _take(self) -> _Job:
        if self._single and (self._single_is_next or not self._streams):
            self._single_is_next = False
            return self._single.popleft()
        self._single_is_next = True
        stream, queue = next(iter(self._streams.items()))
        del self._streams[stream]
        job = queue.popleft()
        if queue:
            self._streams[stream] = queue
        return job

    def _withdraw(self, job: _Job, stream: object | None) -> None:
        with self._lock, suppress(KeyError, ValueError):
            if stream is None:
                self._single.remove(job)
                return
            self._streams[stream].remove(job)
            if not self._streams[stream]:
                del self._streams[stream]
