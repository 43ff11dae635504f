"""Fake vendors without sockets, for a clock that jumps: behind the captioner's real HTTP client."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from services.captioner.chain import Chain
from services.captioner.http_client import HttpClient
from services.captioner.measurements import ColourShare, Measurements
from services.captioner.money.budget import Budget
from services.captioner.money.prices import PriceTable
from services.captioner.picture import Picture, Upload
from services.captioner.providers import HINTS, Providers
from services.captioner.records.known_answers import KnownAnswers
from services.captioner.records.port import NoRecords
from services.captioner.settings import CaptionerSettings
from services.captioner.studio import Studio
from tests.servers.providers.fake_account import FakeAccount
from tests.servers.providers.numbered_pictures import numbered_jpeg
from tests.servers.providers.vendor_call import Call
from tests.servers.providers.vendor_picture import digest_of
from tests.servers.providers.vendor_plan import KEY

MEASURED = Measurements(width=320, height=240, colours=(ColourShare(0, 0, 200, 1.0),), face_count=0)
MAX_TRIP_S = 0.2


class VendorTransport(httpx.AsyncBaseTransport):
    """Takes each request to the account of its host, over a way that is now longer and now shorter."""

    def __init__(self, accounts: Mapping[str, FakeAccount]) -> None:
        self._accounts = accounts
        self._trips = random.Random(7)  # noqa: S311  the same on every run

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The reply in time, or httpx's errors."""
        loop, account = asyncio.get_running_loop(), self._accounts[request.url.host]
        deadline = loop.time() + float(request.extensions["timeout"]["read"])
        await asyncio.sleep(self._trips.uniform(0.0, MAX_TRIP_S))
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply = account.decide(loop.time(), Call(request.url.path, headers, await request.aread()))
        due = loop.time() + reply.after_s
        loop.call_at(due, account.settle, reply)
        if due > deadline:
            await asyncio.sleep(deadline - loop.time())
            raise httpx.ReadTimeout("no answer", request=request)
        await asyncio.sleep(reply.after_s + self._trips.uniform(0.0, MAX_TRIP_S))
        is_cut = reply.wire == "cut"
        return httpx.Response(reply.status, headers=reply.headers, stream=_Body(reply.body, is_cut=is_cut))


class _Body(httpx.AsyncByteStream):
    def __init__(self, body: bytes, *, is_cut: bool) -> None:
        self._body = body
        self._is_cut = is_cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._is_cut:
            yield self._body[:10]
            raise httpx.RemoteProtocolError("peer closed connection")
        yield self._body


def virtual_chain(order: str, accounts: Mapping[str, FakeAccount], **settings: Any) -> Chain:
    """The chain as the service wires it, without records; ``accounts`` by id of their provider.

    The fakes live at ``http://ID.fake/v1``.
    """
    ways: dict[str, Any] = {"captioner_providers": order}
    for name in accounts:
        ways |= {f"captioner_{name}_url": f"http://{name}.fake/v1", f"captioner_{name}_api_key": KEY}
    chosen = CaptionerSettings(captioner_keep_records=False, **ways, **settings)
    http = HttpClient(
        lambda: VendorTransport({f"{name}.fake": each for name, each in accounts.items()}), count=1
    )
    records = NoRecords()
    purse = Budget(records, PriceTable({}), ())
    links = Providers(chosen, http).links(purse, CollectorRegistry())
    return Chain(chosen.captioner_providers, links, HINTS, KnownAnswers(records))


def prepared_picture(number: int, width: int = 320, height: int = 240) -> Picture:
    """One of many distinct pictures, scaled already: no thread has to run while the clock jumps."""
    jpeg = numbered_jpeg(number, width, height)

    async def load() -> bytes:
        return jpeg

    picture = Picture(load, Studio(ThreadPoolExecutor(1), 1, 1_000_000), MEASURED, digest_of(jpeg) * 4)
    picture._uploads = dict.fromkeys((768, 1024), Upload(jpeg, width, height))
    return picture
