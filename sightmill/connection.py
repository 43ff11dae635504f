"""The connection of a client: how long calls may take, and which are repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Self, TypeAlias, TypeVar, cast

import grpc

from sightmill import retries
from sightmill.channel import open_channel
from sightmill.errors import from_rpc_error
from sightmill.v1 import captioner_pb2_grpc, catalog_pb2, catalog_pb2_grpc, ingest_pb2_grpc, people_pb2_grpc

DEFAULT_ADDRESS = "127.0.0.1:8080"

ImageName: TypeAlias = str | int | catalog_pb2.Image
Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


class Connection:
    """A channel to Sightmill with its stubs, open inside of ``async with``."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        timeout_s: float = 30,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._credentials = credentials
        self._headers = tuple((key.lower(), value) for key, value in (headers or {}).items())
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._channel = channel = open_channel(self.address, self._credentials)
        self._ingest: ingest_pb2_grpc.IngestServiceAsyncStub = ingest_pb2_grpc.IngestServiceStub(channel)
        self._catalog: catalog_pb2_grpc.CatalogServiceAsyncStub = catalog_pb2_grpc.CatalogServiceStub(channel)
        self._captioner: captioner_pb2_grpc.CaptionerServiceAsyncStub = (
            captioner_pb2_grpc.CaptionerServiceStub(channel)
        )
        self._people: people_pb2_grpc.PeopleServiceAsyncStub = people_pb2_grpc.PeopleServiceStub(channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Asked, Answered],
        request: Asked,
        timeout_s: float | None = None,
    ) -> Answered:
        """The answer of a call that is safe to repeat."""

        async def attempt(left_s: float) -> Answered:
            return await method(request, timeout=left_s, metadata=self._headers)

        return await retries.call(attempt, self._timeout_s if timeout_s is None else timeout_s, self.address)

    async def _call_once(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Asked, Answered], request: Asked
    ) -> Answered:
        """The answer of a call that must not be repeated."""
        call = method(request, timeout=self._timeout_s, metadata=self._headers)
        return await retries.call_once(call, self.address)

    async def _stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Asked, Answered], request: Asked
    ) -> AsyncGenerator[Answered, None]:
        """The answers of a stream of any length; ``timeout_s`` bounds the wait for each."""
        call = method(request, metadata=self._headers)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._timeout_s):
                        answer = await call.read()
                except TimeoutError:
                    raise retries.out_of_time(
                        f"{self.address} sent nothing for {self._timeout_s:g} s. Allow more time, or ask for"
                        " less."
                    ) from None
                if answer is grpc.aio.EOF:
                    return
                yield cast("Answered", answer)
        except grpc.aio.AioRpcError as raised:
            raise from_rpc_error(raised, self.address) from None
        finally:
            call.cancel()


def image_name(image: ImageName) -> str:
    """The name of an image given by name, by number or as a message."""
    if isinstance(image, catalog_pb2.Image):
        return image.name
    return f"images/{image}" if isinstance(image, int) else image
