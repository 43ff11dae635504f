"""The pipeline worker: takes messages off the queue and holds each until its image is done."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import get_args

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.ingest.intake import UPLOADS
from services.ingest.notices import topic_of
from services.ingest.pipeline import Again, Pipeline
from services.ingest.readiness import WorkLanes
from services.ingest.reanalysis import REANALYSES
from services.runtime.context import entered
from services.runtime.errors import InternalError, Reason, ServiceError
from services.runtime.queue.port import Lease, WorkQueue

HEARTBEAT_S = UPLOADS.ack_wait_s / 3
# A message that comes this often took its worker down every time; below the queue's own limit, past which it
# would not come at all.
MAX_DELIVERIES = UPLOADS.max_deliveries - 2
RETRY_DELAY_S = 5.0
_IMAGE_NAME = re.compile(r"images/[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class WorkerMetrics:
    """What a worker counts."""

    processed: Counter
    in_work: Gauge
    seconds: Histogram


def build_worker_metrics(registry: CollectorRegistry) -> WorkerMetrics:
    """Registers the worker's metrics."""
    return WorkerMetrics(
        Counter("sightmill_images_processed", "Images worked on, by outcome", ["outcome"], registry=registry),
        Gauge("sightmill_images_in_work", "Images being worked on", registry=registry),
        Histogram("sightmill_image_seconds", "Time from the lease of an image to its end", registry=registry),
    )


class Worker:
    """Works on up to ``slots`` images at a time."""

    def __init__(
        self, queue: WorkQueue, lane: WorkLanes, pipeline: Pipeline, metrics: WorkerMetrics, slots: int
    ) -> None:
        self._queue = queue
        self._lane = lane
        self._pipeline = pipeline
        self._metrics = metrics
        self._slots = slots

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until ``stopping``; what is in hand then is given back at once."""
        stop = asyncio.create_task(stopping.wait())
        opened = asyncio.create_task(self._lane.opened.wait())
        await asyncio.wait([opened, stop], return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        tasks: set[asyncio.Task[None]] = set()
        async with self._queue.lease([UPLOADS, REANALYSES], self._slots) as puller:
            while not stop.done():
                leased = asyncio.ensure_future(anext(puller, None))
                await asyncio.wait([leased, stop], return_when=asyncio.FIRST_COMPLETED)
                if leased.done() and (lease := leased.result()) is not None:
                    task = asyncio.create_task(self._handle(lease))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                else:
                    leased.cancel()
            await puller.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._pipeline.close()

    async def _handle(self, lease: Lease) -> None:
        with entered(lease.headers), self._metrics.in_work.track_inprogress(), self._metrics.seconds.time():
            beating = asyncio.create_task(_beat(lease))
            try:
                await self._work(lease)
            except asyncio.CancelledError:
                await lease.retry(0)
                raise
            except ServiceError as error:
                structlog.get_logger("worker").warning(
                    "given back", reason=error.reason_name, problem=error.message
                )
                await _settled(lease.retry(RETRY_DELAY_S))
            except Exception:  # noqa: BLE001  a fault at one image must not end the worker
                structlog.get_logger("worker").exception("fault")
                await _settled(lease.retry(RETRY_DELAY_S))
            finally:
                beating.cancel()

    async def _work(self, lease: Lease) -> None:
        wanted = _request_of(lease.payload)
        if wanted is None:
            self._metrics.processed.labels("dropped").inc()
            await lease.drop("not a request to work on an image")
            return
        name, again = wanted
        if lease.deliveries > MAX_DELIVERIES:
            await self._pipeline.fail(name, _given_up(lease.deliveries))
            changed = True
        else:
            changed = await self._pipeline.process(name, again)
        if changed:
            self._metrics.processed.labels("done").inc()
            await self._queue.announce(topic_of(name), b"final")
        await lease.done()


async def _beat(lease: Lease) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        await lease.heartbeat()


async def _settled(settling: Awaitable[None]) -> None:
    """Settles a lease if the queue answers; if not, the message comes again by itself."""
    try:
        await settling
    except ServiceError as error:
        structlog.get_logger("worker").warning("not settled", reason=error.reason_name)


def _request_of(payload: bytes) -> tuple[str, Again | None] | None:
    """The image, and whether and how to work on it again; None for anything else."""
    try:
        request = json.loads(payload)
        name, again = request["image"], request.get("again")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(name, str) or not _IMAGE_NAME.fullmatch(name) or again not in {None, *get_args(Again)}:
        return None
    return name, again


def _given_up(deliveries: int) -> InternalError:
    return InternalError(
        Reason.ANALYSIS_ABANDONED,
        f"Work on this image ended {deliveries - 1} times without a result; the image was given up.",
        attempts=deliveries - 1,
    )
