"""Captions of one model for many callers: what waits together is described together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from services.captioner.blip.blip_local_model import Pixels, StepAbandonedError, Wording
from services.captioner.provider import ProviderError, TransientError

GATHER_S = 0.005
# One step at work, the next one decoded, and two to choose equal wordings from.
STEPS_HELD = 4
MAX_DECODERS = 8
CLOSE_S = 5.0
_log = structlog.get_logger("captioner")


class StepModel(Protocol):
    """What describes several pictures in one blocking step."""

    def pixels(self, jpeg: bytes) -> Pixels:
        """Called in several threads; raises BadPictureError."""

    def caption(self, pictures: Sequence[Pixels], wording: Wording, is_over: Callable[[], bool]) -> list[str]:
        """One caption each, in order. Raises MemoryError, and StepAbandonedError once ``is_over()``."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    pixels: Pixels
    wording: Wording
    caption: asyncio.Future[str]

    def settle(self, outcome: str | ProviderError) -> None:
        if self.caption.done():
            return
        if isinstance(outcome, str):
            self.caption.set_result(outcome)
        else:
            self.caption.set_exception(outcome)


class BlipLocalBatches:
    """One thread steps through at most ``max_batch`` pictures at a time; others decode the next ones."""

    def __init__(
        self, model: StepModel, max_batch: int, worker: ThreadPoolExecutor, decoders: ThreadPoolExecutor
    ) -> None:
        self._model = model
        self._max_batch = max_batch
        self._worker = worker
        self._decoders = decoders
        self._places = asyncio.Semaphore(STEPS_HELD * max_batch)
        self._waiting: list[_Job] = []
        self._arrived = asyncio.Event()
        self._closing = False

    async def caption(self, jpeg: bytes, wording: Wording) -> str:
        """The caption of one picture; raises ProviderError. A caller that leaves frees its place."""
        loop = asyncio.get_running_loop()
        async with self._places:
            self._refuse_when_closing()
            pixels = await loop.run_in_executor(self._decoders, self._model.pixels, jpeg)
            self._refuse_when_closing()
            job = _Job(pixels, wording, loop.create_future())
            self._waiting.append(job)
            self._arrived.set()
            return await job.caption

    async def run(self) -> None:
        """Steps on and on, until it is closed."""
        while not self._closing:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                # Nothing was at work: others that came with the first are still being decoded.
                await asyncio.sleep(GATHER_S)
            if batch := self._take():
                await self._step(batch)

    def close(self) -> None:
        """Refuses who waits and who comes; a step that runs ends at its next layer."""
        self._closing = True
        for job in self._waiting:
            job.settle(_stopping())
        self._waiting.clear()
        self._arrived.set()

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise _stopping()

    def _take(self) -> list[_Job]:
        """The oldest that somebody waits for, with others of its wording; the rest keeps its order."""
        live = [job for job in self._waiting if not job.caption.done()]
        batch = [job for job in live if job.wording == live[0].wording][: self._max_batch]
        self._waiting = [job for job in live if job not in batch]
        return batch

    async def _step(self, batch: Sequence[_Job]) -> None:
        outcomes: Sequence[str | ProviderError] = [_stopping() for _ in batch]
        try:
            loop = asyncio.get_running_loop()
            outcomes = await loop.run_in_executor(self._worker, self._describe, batch)
        finally:
            for job, outcome in zip(batch, outcomes, strict=True):
                job.settle(outcome)

    def _describe(self, batch: Sequence[_Job]) -> Sequence[str | ProviderError]:
        """In the worker's thread. What fails together is tried again in halves, down to single pictures."""
        try:
            pictures = [job.pixels for job in batch]
            return self._model.caption(pictures, batch[0].wording, lambda: self._is_over(batch))
        except StepAbandonedError:
            return [_stopping() for _ in batch]
        except MemoryError:
            error = TransientError("There is not enough memory for this picture.")
            self._max_batch = max(1, len(batch) // 2)
            _log.warning("blip_memory_short", pictures=len(batch), next_batch=self._max_batch)
        except Exception:  # noqa: BLE001  the library raises what it likes; other pictures go on
            error = TransientError("The model failed at this picture.")
            _log.exception("blip_step_failed", pictures=len(batch))
        if len(batch) == 1:
            return [error]
        middle = (len(batch) + 1) // 2
        return [*self._describe(batch[:middle]), *self._describe(batch[middle:])]

    def _is_over(self, batch: Sequence[_Job]) -> bool:
        return self._closing or all(job.caption.done() for job in batch)


@asynccontextmanager
async def open_batches(
    model: StepModel, max_batch: int, worker: ThreadPoolExecutor
) -> AsyncIterator[BlipLocalBatches]:
    """Batches at work in ``worker``, which has one thread; at the end it is free within CLOSE_S."""
    decoders = ThreadPoolExecutor(min(MAX_DECODERS, os.cpu_count() or 1), thread_name_prefix="blip-decoder")
    batches = BlipLocalBatches(model, max_batch, worker, decoders)
    steps = asyncio.create_task(batches.run())
    try:
        yield batches
    finally:
        batches.close()
        _, late = await asyncio.wait([steps], timeout=CLOSE_S)
        if late:
            _log.warning("blip_thread_left_at_work")
            steps.cancel()
        decoders.shutdown(wait=False)


def _stopping() -> TransientError:
    return TransientError("The local model is being stopped.")
