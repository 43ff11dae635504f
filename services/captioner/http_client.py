"""Calls to providers: verified TLS, small pools, bounded answers, and errors that name no address."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import httpx

from services.captioner.provider import (
    AnswerError,
    ConfigError,
    ProviderError,
    SlowAnswerError,
    TransientError,
)

CONNECT_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 30.0
CLOUD_READ_TIMEOUT_S = 60.0
# A local server may load its model first.
LOCAL_READ_TIMEOUT_S = 300.0
MAX_ANSWER_BYTES = 2 * 1024 * 1024
# For each request httpcore looks through all connections of a pool, with a system call for each idle one:
# with two instead of eight a caption takes a fifth less time, with more than thirty it collapses.
POOL_SIZE = 2
_ANY_ZLIB_HEADER = 47
_parsed = lru_cache(maxsize=256)(httpx.URL)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status, headers (names in lower case) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a multipart form."""

    field: str
    file_name: str
    media_type: str
    content: bytes


class _Pool:
    """A few connections to one server. Closed when it is retired and the last call on it has ended."""

    def __init__(self, server: tuple[str, str, int | None], transport: httpx.AsyncBaseTransport) -> None:
        self.server = server
        self.transport = transport
        self.in_flight = 0
        self.is_retired = False


class _Body(httpx.AsyncByteStream):
    """Knows whether somebody began to send it."""

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream = stream
        self.is_begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.is_begun = True
        async for chunk in self._stream:
            yield chunk


class HttpClient:
    """Up to ``count`` small pools for each server, opened as they are needed: none makes room for another.

    Every call raises TransientError, SlowAnswerError, ConfigError or AnswerError. It may have been billed
    when the request was sent and no other status than 2xx came back. Redirects are answers like any other.
    """

    def __init__(self, open_transport: Callable[[], httpx.AsyncBaseTransport], count: int) -> None:
        self._open_transport = open_transport
        self._count = count
        self._pools: dict[tuple[str, str, int | None], list[_Pool]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Closes all connections."""
        for pool in [pool for pools in self._pools.values() for pool in pools]:
            self._retire(pool)
        await asyncio.gather(*self._closing)

    async def post_json(
        self, url: str, body: bytes, headers: Mapping[str, str], read_timeout_s: float
    ) -> HttpAnswer:
        """Sends JSON."""
        headers = {**headers, "Content-Type": "application/json"}
        return await self._send("POST", url, headers, read_timeout_s, content=body)

    async def post_form(
        self,
        url: str,
        fields: Mapping[str, str],
        parts: Sequence[Part],
        headers: Mapping[str, str],
        read_timeout_s: float,
    ) -> HttpAnswer:
        """Sends a multipart form: the fields, then the files; a URL-encoded one when there are no files."""
        files = [(part.field, (part.file_name, part.content, part.media_type)) for part in parts]
        return await self._send("POST", url, headers, read_timeout_s, fields=fields, files=files)

    async def get(self, url: str, headers: Mapping[str, str], read_timeout_s: float) -> HttpAnswer:
        """Asks for what is there."""
        return await self._send("GET", url, headers, read_timeout_s)

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        read_timeout_s: float,
        *,
        content: bytes | None = None,
        fields: Mapping[str, str] | None = None,
        files: Sequence[tuple[str, tuple[str, bytes, str]]] | None = None,
    ) -> HttpAnswer:
        timeout = httpx.Timeout(
            read_timeout_s, connect=CONNECT_TIMEOUT_S, write=WRITE_TIMEOUT_S, pool=CONNECT_TIMEOUT_S
        )
        try:
            request = httpx.Request(
                method,
                _parsed(url),
                headers={"User-Agent": "sightmill-captioner", "Accept-Encoding": "identity", **headers},
                content=content,
                data=fields,
                files=files or None,
                extensions={"timeout": timeout.as_dict()},
            )
        # The words of httpx, and of the encoder, quote addresses and headers.
        except (httpx.InvalidURL, UnicodeError):
            raise _unsendable() from None
        request.stream = body = _Body(cast("AsyncIterable[bytes]", request.stream))
        pool = self._pool_for(request.url)
        pool.in_flight += 1
        try:
            return await _exchange(pool.transport, request, read_timeout_s)
        except (asyncio.CancelledError, _LostConnectionsError):
            # A call that is broken off between connecting and sending leaves a connection behind that its
            # pool neither uses nor closes (httpcore 1.0.9); when all are gone that way, it answers nobody.
            if not body.is_begun and not pool.is_retired:
                self._retire(pool)
            raise
        finally:
            pool.in_flight -= 1
            if pool.is_retired and not pool.in_flight:
                self._close(pool)

    def _pool_for(self, url: httpx.URL) -> _Pool:
        server = (url.scheme, url.host, url.port)
        pools = self._pools.setdefault(server, [])
        # The first with room, so that few connections are kept busy instead of many idle.
        free = next((pool for pool in pools if pool.in_flight < POOL_SIZE), None)
        if free is None and len(pools) < self._count:
            free = _Pool(server, self._open_transport())
            pools.append(free)
        return free or min(pools, key=lambda pool: pool.in_flight)

    def _retire(self, pool: _Pool) -> None:
        self._pools[pool.server].remove(pool)
        pool.is_retired = True
        if not pool.in_flight:
            self._close(pool)

    def _close(self, pool: _Pool) -> None:
        task = asyncio.create_task(pool.transport.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _LostConnectionsError(TransientError):
    """A pool has no connection left, although no more calls use it than it has."""


@asynccontextmanager
async def open_http_client(
    calls: int, ca_file: Path | None = None, proxy: str = ""
) -> AsyncIterator[HttpClient]:
    """Pools for ``calls`` calls in flight. The environment's proxies and netrc play no part."""
    trust = (
        ssl.create_default_context(cafile=str(ca_file))
        if ca_file
        else httpx.create_ssl_context(trust_env=False)
    )
    limits = httpx.Limits(max_connections=POOL_SIZE, max_keepalive_connections=POOL_SIZE)

    # Transports alone: what a client adds (cookies, redirects, credentials) has no place here.
    def open_transport() -> httpx.AsyncBaseTransport:
        return httpx.AsyncHTTPTransport(verify=trust, proxy=proxy or None, trust_env=False, limits=limits)

    client = HttpClient(open_transport, -(-calls // POOL_SIZE))
    try:
        yield client
    finally:
        await client.close()


async def _exchange(
    pool: httpx.AsyncBaseTransport, request: httpx.Request, read_timeout_s: float
) -> HttpAnswer:
    may_be_billed = True
    try:
        answer = await pool.handle_async_request(request)
        may_be_billed = answer.status_code < 300
        try:
            body = await _read_bounded(cast("AsyncIterable[bytes]", answer.stream))
        finally:
            await answer.aclose()
        headers = {
            name.decode("latin-1").lower(): text.decode("latin-1") for name, text in answer.headers.raw
        }
        return HttpAnswer(answer.status_code, headers, _unpacked(body, headers.get("content-encoding", "")))
    except httpx.RequestError as error:
        # Nothing of httpx's own words goes on: they quote addresses, and headers that it finds malformed.
        raise _failure(error, read_timeout_s, may_be_billed) from None
    except AnswerError as error:
        error.may_be_billed = may_be_billed
        raise


def _failure(error: httpx.RequestError, read_timeout_s: float, may_be_billed: bool) -> ProviderError:
    match error:
        case httpx.ReadTimeout():
            return SlowAnswerError(f"No answer within {read_timeout_s:g} s.", may_be_billed=may_be_billed)
        case httpx.WriteTimeout():
            return SlowAnswerError(f"The request could not be sent within {WRITE_TIMEOUT_S:g} s.")
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.ProxyError():
            return TransientError("No connection; check that the provider can be reached from here.")
        case httpx.PoolTimeout():
            return _LostConnectionsError("All connections to providers are taken.")
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return _unsendable()
        case httpx.WriteError():
            may_be_billed = False
    return TransientError(f"The connection broke ({type(error).__name__}).", may_be_billed=may_be_billed)


async def _read_bounded(chunks: AsyncIterable[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise _too_large()
    return bytes(body)


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body of a server that compresses unasked; what cannot be unpacked has no text."""
    if encoding.lower() in ("", "identity"):
        return body
    try:
        unpacked = zlib.decompressobj(_ANY_ZLIB_HEADER).decompress(body, MAX_ANSWER_BYTES + 1)
    except zlib.error:
        return b""
    if len(unpacked) > MAX_ANSWER_BYTES:
        raise _too_large()
    return unpacked


def _too_large() -> AnswerError:
    limit_kib = MAX_ANSWER_BYTES // 1024
    return AnswerError(f"The answer is larger than {limit_kib} KiB.")


def _unsendable() -> ConfigError:
    return ConfigError("The address or the key has a form that cannot be sent.")
