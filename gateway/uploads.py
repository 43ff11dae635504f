"""Uploads on their way: from the socket through one UploadImages call, block by block.

gRPC pulls the next message when the last one is on its way, and the reader pulls the next bytes from the
socket: a slow ingest slows the sender down, and memory stays bounded whatever the size.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
from starlette.requests import ClientDisconnect, Request

from gateway.clients import Gateway
from gateway.errors import MalformedBodyError
from gateway.multipart import Limits, MultipartReader, Part
from services.runtime import statuses
from services.runtime.errors import Reason, ServiceError, UnavailableError
from sightmill.v1 import catalog_pb2, ingest_pb2

Message = ingest_pb2.UploadImagesRequest
_LOST_STATUS = "Internal error from Core"
_LABEL = "label."
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


def open_reader(gateway: Gateway, request: Request, limits: Limits) -> MultipartReader:
    """The request's body as parts. Raises MalformedBodyError when it is not multipart."""
    body = _read_body(request, gateway.settings.gateway_idle_timeout_s)
    return MultipartReader(body, request.headers.get("content-type", ""), limits)


async def _read_body(request: Request, idle_timeout_s: float) -> AsyncIterator[bytes]:
    more = True
    while more:
        try:
            async with asyncio.timeout(idle_timeout_s):
                message = await request.receive()
        except TimeoutError:
            raise MalformedBodyError(
                f"Nothing came for {idle_timeout_s:g} seconds; send it again.", Reason.UPLOAD_INCOMPLETE
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if data := message.get("body", b""):
            yield data


async def upload_one(
    gateway: Gateway, reader: MultipartReader, header: ingest_pb2.UploadHeader, blocks: AsyncIterator[bytes]
) -> catalog_pb2.Image:
    """Sends one file. The image counts only when the whole body was well-formed.

    Raises ServiceError for what ingest or the body says, ClientDisconnect when the sender is gone.
    """
    fault: list[Exception] = []

    async def messages() -> AsyncIterator[Message]:
        try:
            yield Message(header=header)
            async for block in blocks:
                yield Message(chunk=block)
            async for _ in reader:
                continue
            yield Message(finish=ingest_pb2.UploadFinish())
        except Exception as error:
            fault.append(error)  # gRPC would only say that the call was cancelled
            raise

    call = gateway.clients.ingest.UploadImages(messages(), timeout=gateway.settings.gateway_upload_timeout_s)
    try:
        async for answer in call:
            if answer.WhichOneof("result") == "image":
                return answer.image
            raise statuses.from_status(answer.error)
    except asyncio.CancelledError:
        if fault:
            raise fault[0] from None
        raise
    except grpc.aio.AioRpcError as error:
        raise stream_error(error) from error
    finally:
        call.cancel()
    raise unanswered()


def stream_error(error: grpc.aio.AioRpcError) -> ServiceError:
    """Why the call ended. A write that meets the end of a call makes grpc.aio forget the status."""
    if error.code() is grpc.StatusCode.INTERNAL and error.details() == _LOST_STATUS:
        return unanswered()
    return statuses.from_rpc_error(error)


def unanswered() -> UnavailableError:
    """For a stream that ended before everything was answered."""
    return UnavailableError(
        Reason.SERVICE_UNAVAILABLE, "The intake went away; send it again.", retry_after_s=1.0
    )


@dataclass(slots=True)
class Upload:
    """Any number of files over one call. ``files`` holds (key, file name) by index.

    ``failure`` is what was wrong with the body as a whole; files before it are in.
    """

    gateway: Gateway
    reader: MultipartReader
    files: list[tuple[str, str]] = field(default_factory=list)
    failure: ServiceError | None = None
    _answered: set[int] = field(default_factory=set)
    _fault: Exception | None = None
    _labels: dict[str, str] = field(default_factory=dict)
    _options: catalog_pb2.ProcessOptions = field(default_factory=catalog_pb2.ProcessOptions)
    _request_id: str = ""

    async def answers(self) -> AsyncIterator[ingest_pb2.UploadImagesResponse]:
        """Answers as they come. Raises ClientDisconnect when the sender is gone."""
        call = self.gateway.clients.ingest.UploadImages(
            self._messages(), timeout=self.gateway.settings.gateway_upload_timeout_s
        )
        try:
            async for answer in call:
                self._answered.add(answer.index)
                yield answer
        except asyncio.CancelledError:
            if self._fault:
                raise self._fault from None
            raise
        except grpc.aio.AioRpcError as error:
            self.failure = self.failure or stream_error(error)
        finally:
            call.cancel()
        if len(self._answered) < len(self.files):
            self.failure = self.failure or unanswered()
        if not self.files:
            self.failure = self.failure or MalformedBodyError("No file in the body.", field="file")

    async def _messages(self) -> AsyncIterator[Message]:
        """Header, chunks, finish per file. A broken body ends the stream without a finish."""
        try:
            async for part in self.reader:
                if part.file_name is None:
                    await self._apply(part)
                    continue
                async for message in self._file_messages(part, part.file_name):
                    yield message
        except ServiceError as error:
            self.failure = error
        except Exception as fault:
            self._fault = fault
            raise

    async def _file_messages(self, part: Part, file_name: str) -> AsyncIterator[Message]:
        index = len(self.files)
        self.files.append((part.name, file_name))
        yield Message(
            header=ingest_pb2.UploadHeader(
                key=part.name[:128],
                display_name=file_name,
                labels=self._labels,
                request_id=self._request_id,
                options=self._options,
            )
        )
        self._request_id = ""
        async for block in part.blocks():
            if index not in self._answered:  # refused already: the rest need not travel
                yield Message(chunk=block)
        yield Message(finish=ingest_pb2.UploadFinish())

    async def _apply(self, part: Part) -> None:
        """Fields hold for the files after them, ``request_id`` for the next file only."""
        value = await part.text()
        if part.name.startswith(_LABEL):
            self._labels[part.name.removeprefix(_LABEL)] = value
        elif part.name == "request_id":
            self._request_id = value
        elif part.name == "skip_caption":
            self._options.skip_caption = _flag(part.name, value)
        elif part.name == "skip_analysis":
            self._options.skip_analysis = _flag(part.name, value)
        else:
            raise MalformedBodyError(
                f"Unknown field {part.name[:64]!r}; known are label.<name>, request_id, skip_analysis and "
                "skip_caption. Files need a file name.",
                field=part.name,
            )


def _flag(name: str, value: str) -> bool:
    word = value.strip().lower()
    if word not in _TRUE | _FALSE:
        raise MalformedBodyError(f"{name} is true or false.", field=name)
    return word in _TRUE
