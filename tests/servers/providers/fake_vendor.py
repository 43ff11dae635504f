"""A fake vendor on loopback: ``python -m tests.servers.providers.fake_vendor --vendor mistral``.

Prints ``READY http://127.0.0.1:PORT``. With ``--journal FILE`` the digest of every picture that it bills is a
line there, which outlives the process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.providers.fake_account import FakeAccount
from tests.servers.providers.fake_compatible import FakeGemini, FakeOllama
from tests.servers.providers.fake_mistral import FakeMistral
from tests.servers.providers.fake_openai import FakeOpenAI
from tests.servers.providers.vendor_call import Call, Reply
from tests.servers.providers.vendor_plan import Plan, Vendor

VENDORS: Mapping[str, Callable[[], Vendor]] = {
    "mistral": FakeMistral,
    "openai": FakeOpenAI,
    "gemini": FakeGemini,
    "ollama": FakeOllama,
}
PAUSE_S = 0.05
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(slots=True)
class FakeVendor:
    """A server; ``bill`` is called for every answer that is charged for."""

    account: FakeAccount
    bill: Callable[[str], None]
    url: str = ""
    wires: set[asyncio.BaseTransport] = field(default_factory=set)


class Wire(asyncio.Protocol):
    """One connection, kept open; a request at a time, as HTTP/1.1 clients send them."""

    def __init__(self, vendor: FakeVendor) -> None:
        self._vendor = vendor
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._vendor.wires.add(transport)

    def connection_lost(self, fault: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Forgets it."""
        self._vendor.wires.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Answers once a request is complete."""
        self._received += data
        if self._head is None:
            end = self._received.find(_END_OF_HEAD)
            if end < 0:
                return
            self._head = _read_head(bytes(self._received[:end]))
            del self._received[: end + len(_END_OF_HEAD)]
        method, path, headers = self._head
        length = int(headers.get("content-length", 0))
        if len(self._received) < length:
            return
        body = bytes(self._received[:length])
        del self._received[:length]
        self._head = None
        if method != "POST" or "transfer-encoding" in headers:
            self._send(Reply(405 if method != "POST" else 411, b""))
        else:
            self._take(Call(path, headers, body))

    def _take(self, call: Call) -> None:
        reply = self._vendor.account.decide(self._loop.time(), call)
        if reply.after_s:
            # It goes on when the client leaves: what is computed is charged for.
            self._loop.call_later(reply.after_s, self._settle, reply)
        else:
            self._settle(reply)

    def _settle(self, reply: Reply) -> None:
        self._vendor.account.settle(reply)
        if reply.bills:
            self._vendor.bill(reply.bills)
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        assert self._transport
        if self._transport.is_closing():
            return
        lines = [f"HTTP/1.1 {reply.status} x", f"Content-Length: {len(reply.body)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        head = "\r\n".join(lines).encode() + _END_OF_HEAD
        if reply.wire == "whole":
            self._transport.write(head + reply.body)
            return
        half = len(reply.body) // 2
        self._transport.write(head + reply.body[:half])
        if reply.wire == "cut":
            self._transport.close()
        else:
            self._loop.call_later(PAUSE_S, self._transport.write, reply.body[half:])


@asynccontextmanager
async def fake_vendor(
    account: FakeAccount, port: int = 0, bill: Callable[[str], None] = lambda _digest: None
) -> AsyncIterator[FakeVendor]:
    """A server on 127.0.0.1 in front of ``account``, on a free port unless one is named."""
    vendor = FakeVendor(account, bill)
    server = await asyncio.get_running_loop().create_server(lambda: Wire(vendor), "127.0.0.1", port)
    vendor.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield vendor
    finally:
        server.close()
        for wire in list(vendor.wires):
            wire.close()
        await server.wait_closed()


def _read_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    fields = (line.partition(":") for line in lines)
    return method, path, {name.lower(): value.strip() for name, _, value in fields}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vendor", choices=VENDORS, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--requests", type=int, help="requests a minute")
    parser.add_argument("--tokens", type=int, help="tokens a minute")
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--journal", type=Path)
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    plan = Plan(arguments.requests, arguments.tokens, latency_s=arguments.latency_s)
    account = FakeAccount(VENDORS[arguments.vendor](), plan)
    journal = arguments.journal or Path(os.devnull)
    # Unbuffered: the line is there when the answer is, also if the process is killed right after.
    with journal.open("ab", buffering=0) as lines:

        def bill(digest: str) -> None:
            lines.write(f"{digest}\n".encode())

        async with fake_vendor(account, arguments.port, bill) as vendor:
            print(f"READY {vendor.url}", flush=True)  # noqa: T201  the line that says where it is
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
