"""Makes an upload durable: verified, stored under its digest, catalogued, queued. In that order.

Whatever breaks in between leaves nothing that refers to something missing: bytes without an image are
harmless, and an image without a message is queued again by the reconciler.
"""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import Executor
from dataclasses import dataclass

import grpc

from services.ingest.guard import Inspection, Limits, decode_timeout, decoders_busy, inspect
from services.ingest.header import Header
from services.ingest.spool import Spool
from services.runtime import statuses
from services.runtime.blobs.keys import blob_key
from services.runtime.blobs.port import Blobs
from services.runtime.child_processes import ChildProcesses
from services.runtime.context import outgoing_headers
from services.runtime.errors import (
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from services.runtime.queue.port import Lane, Message, WorkQueue
from sightmill.v1 import catalog_pb2, catalog_pb2_grpc, common_pb2

# A worker that dies is noticed after ack_wait_s; one that lives sends heartbeats three times as often.
_COLLECTING_S = 0.1
UPLOADS = Lane(class_="int", name="uploads", weight=10, max_in_flight=1_000, ack_wait_s=15.0)


def work_message(image_name: str, message_id: str) -> Message:
    """The request to work on an image; carries the ids of the request that it belongs to."""
    return Message(json.dumps({"image": image_name}).encode(), message_id, outgoing_headers())


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes single images in.

    ``decoders`` is a thread pool as large as decodes may run at a time; ``children`` are processes for those
    that are not plain, and None decodes all in this process.
    """

    catalog: catalog_pb2_grpc.CatalogServiceAsyncStub
    blobs: Blobs
    queue: WorkQueue
    decoders: Executor
    limits: Limits
    decode_timeout_s: float
    store_timeout_s: float
    children: ChildProcesses | None = None

    async def accept(self, header: Header, spool: Spool) -> catalog_pb2.Image:
        """Returns the image when it is durable and queued.

        Raises InvalidArgumentError for the image's own faults, UnavailableError when a dependency does not
        answer; then nothing is left behind that will never be finished.
        """
        _check_announced(header, spool)
        data = await asyncio.to_thread(spool.read)
        inspection = await self._inspect(data)
        key = blob_key(spool.sha256)
        async with asyncio.timeout(self.store_timeout_s):
            await self.blobs.put(key, data)
            created = await self._catalogue(data, self._create_request(header, spool, key, inspection))
            if created.image.state == catalog_pb2.Image.PENDING:
                await self._enqueue(created)
        return created.image

    async def _inspect(self, data: bytes) -> Inspection:
        loop = asyncio.get_running_loop()
        begun, given_up = asyncio.Event(), threading.Event()

        def work() -> Inspection:
            loop.call_soon_threadsafe(begun.set)
            return inspect(data, self.limits, self.children, given_up)

        inspecting = loop.run_in_executor(self.decoders, work)
        try:
            # Waiting for a free decoder is no fault of the image.
            async with asyncio.timeout(self.store_timeout_s):
                await begun.wait()
            async with asyncio.timeout(self.decode_timeout_s):
                return await inspecting
        except TimeoutError:
            raise decode_timeout(self.decode_timeout_s) if begun.is_set() else decoders_busy() from None
        finally:
            given_up.set()
            inspecting.cancel()

    def _create_request(
        self, header: Header, spool: Spool, key: str, inspection: Inspection
    ) -> catalog_pb2.CreateImageRequest:
        stored_only = header.options.skip_analysis
        image = catalog_pb2.Image(
            state=catalog_pb2.Image.STORED if stored_only else catalog_pb2.Image.PENDING,
            sha256=spool.sha256,
            blob_key=key,
            display_name=header.display_name,
            size_bytes=spool.size_bytes,
            format=common_pb2.ImageFormat.Value(f"IMAGE_FORMAT_{inspection.format}"),
            width=inspection.width,
            height=inspection.height,
            frame_count=inspection.frame_count,
            labels=header.labels,
            process_options=header.options,
            color_mode=inspection.color_mode,
        )
        return catalog_pb2.CreateImageRequest(image=image, request_id=header.request_id)

    async def _catalogue(
        self, data: bytes, request: catalog_pb2.CreateImageRequest
    ) -> catalog_pb2.CreateImageResponse:
        """Records the image; stores the bytes again where they were collected as garbage just now."""
        while True:
            try:
                return await self.catalog.CreateImage(request, timeout=self.store_timeout_s)
            except grpc.aio.AioRpcError as fault:
                error = statuses.from_rpc_error(fault)
            if error.reason == Reason.BLOB_BEING_COLLECTED:
                await asyncio.sleep(error.retry_after_s or _COLLECTING_S)
            elif error.reason == Reason.BLOB_COLLECTED:
                await self.blobs.put(request.image.blob_key, data, overwrite=True)
                request.blob_generation = int(error.metadata["generation"])
            else:
                raise error

    async def _enqueue(self, created: catalog_pb2.CreateImageResponse) -> None:
        name = created.image.name
        try:
            await self.queue.publish(UPLOADS, work_message(name, name), timeout_s=self.store_timeout_s / 3)
        except ServiceError as error:
            if created.created:
                await self._withdraw(name)
            if isinstance(error, ResourceExhaustedError):  # it answers: it is full
                raise
            raise UnavailableError(
                Reason.QUEUE_UNAVAILABLE,
                "The work queue does not answer; the image was not taken in. Send it again.",
                retry_after_s=error.retry_after_s or 2.0,
            ) from error

    async def _withdraw(self, name: str) -> None:
        """Takes a catalogued image back. Where even that fails, the reconciler will have it analysed."""
        request = catalog_pb2.DeleteImageRequest(name=name, force=True, allow_missing=True)
        try:
            await self.catalog.DeleteImage(request, timeout=self.store_timeout_s / 3)
        except grpc.aio.AioRpcError:
            return


def _check_announced(header: Header, spool: Spool) -> None:
    if header.size_bytes and header.size_bytes != spool.size_bytes:
        raise InvalidArgumentError(
            Reason.IMAGE_CHECKSUM_MISMATCH,
            f"{header.size_bytes} bytes were announced and {spool.size_bytes} arrived; send the image again.",
        )
    if header.sha256 and header.sha256 != spool.sha256:
        raise InvalidArgumentError(
            Reason.IMAGE_CHECKSUM_MISMATCH,
            "The bytes do not have the announced SHA-256; send the image again.",
        )
