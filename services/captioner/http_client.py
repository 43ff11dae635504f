"""POST to a provider: verified TLS, small pools, bounded answers, and errors that name no address."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from services.captioner.provider import AnswerError, ConfigError, SlowAnswerError, TransientError

CONNECT_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 30.0
CLOUD_READ_TIMEOUT_S = 60.0
# A local server may load its model first.
LOCAL_READ_TIMEOUT_S = 300.0
MAX_ANSWER_BYTES = 2 * 1024 * 1024
# httpcore searches all connections of a pool for each request; above some thirty it collapses.
POOL_SIZE = 8


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


class HttpClient:
    """Several small pools; each call takes the one with the fewest calls in flight."""

    def __init__(self, pools: list[httpx.AsyncClient]) -> None:
        self._pools = pools
        self._in_flight = [0] * len(pools)

    async def post_json(
        self, url: str, body: bytes, headers: Mapping[str, str], read_timeout_s: float
    ) -> HttpAnswer:
        """Sends JSON; raises TransientError, SlowAnswerError, ConfigError or AnswerError."""
        return await self._post(
            url, {**headers, "Content-Type": "application/json"}, read_timeout_s, content=body
        )

    async def post_file(self, url: str, part: Part, read_timeout_s: float) -> HttpAnswer:
        """Sends a form with one file; errors as ``post_json``."""
        return await self._post(url, {}, read_timeout_s, part=part)

    async def _post(
        self,
        url: str,
        headers: Mapping[str, str],
        read_timeout_s: float,
        *,
        content: bytes | None = None,
        part: Part | None = None,
    ) -> HttpAnswer:
        shard = min(range(len(self._pools)), key=self._in_flight.__getitem__)
        self._in_flight[shard] += 1
        files = {part.field: (part.file_name, part.content, part.media_type)} if part else None
        timeout = httpx.Timeout(
            read_timeout_s, connect=CONNECT_TIMEOUT_S, write=WRITE_TIMEOUT_S, pool=CONNECT_TIMEOUT_S
        )
        try:
            async with self._pools[shard].stream(
                "POST", url, headers=headers, content=content, files=files, timeout=timeout
            ) as answer:
                body = await _read_bounded(answer)
                return HttpAnswer(answer.status_code, dict(answer.headers), body)
        # Nothing of httpx's own words goes on: they quote addresses, and headers that it finds malformed.
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            raise SlowAnswerError(f"No answer within {read_timeout_s:g} s.") from None
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise TransientError("No connection; check that the provider can be reached from here.") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError):
            raise ConfigError("The address or the key has a form that cannot be sent.") from None
        except httpx.RequestError as error:
            raise TransientError(f"The connection broke ({type(error).__name__}).") from None
        finally:
            self._in_flight[shard] -= 1


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
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    verify=trust,
                    proxy=proxy or None,
                    trust_env=False,
                    follow_redirects=False,
                    limits=httpx.Limits(max_connections=POOL_SIZE, max_keepalive_connections=POOL_SIZE),
                    headers={"User-Agent": "sightmill-captioner", "Accept-Encoding": "identity"},
                )
            )
            for _ in range(-(-calls // POOL_SIZE))
        ]
        yield HttpClient(pools)


async def _read_bounded(answer: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise AnswerError(f"The answer is larger than {MAX_ANSWER_BYTES // 1024} KiB.")
    return bytes(body)
