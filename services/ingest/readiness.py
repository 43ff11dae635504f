"""Whether what ingest depends on answers."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.ingest.intake import UPLOADS
from services.ingest.reanalysis import REANALYSES
from services.runtime.errors import Reason, UnavailableError
from services.runtime.queue.port import WorkQueue

PING_S = 1.5


class WorkLanes:
    """The lanes of ingest's work: opened as soon as the queue answers, watched afterwards."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self.opened = asyncio.Event()

    async def check(self) -> None:
        """Raises UnavailableError while the queue does not answer."""
        await self._queue.ping(PING_S)
        if not self.opened.is_set():
            for lane in (UPLOADS, REANALYSES):
                await self._queue.open_lane(lane, PING_S)
            self.opened.set()


class ServiceCheck:
    """Another service of the suite, by its gRPC health."""

    def __init__(self, name: str, channel: grpc.aio.Channel) -> None:
        self._name = name
        self._stub = health_pb2_grpc.HealthStub(channel)

    async def check(self) -> None:
        """Raises UnavailableError while the service is not SERVING."""
        try:
            answer = await self._stub.Check(health_pb2.HealthCheckRequest(), timeout=PING_S)
        except grpc.aio.AioRpcError as error:
            raise self._away(error.code().name) from None
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise self._away("NOT_SERVING")

    def _away(self, state: str) -> UnavailableError:
        return UnavailableError(Reason.SERVICE_UNAVAILABLE, f"{self._name}: {state}", service=self._name)
