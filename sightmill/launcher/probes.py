"""How the processes of the suite say that they are well."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from sightmill.launcher.http_call import http_call
from sightmill.launcher.spec import Report

_NO_ANSWER = (OSError, TimeoutError, ValueError, EOFError)


@dataclass(frozen=True, slots=True)
class StatusPageProbe:
    """A service of ours: its READY line names its status page, which says whether it serves."""

    async def ask(self, announced: Mapping[str, str]) -> Report:
        """Ready when ``/readyz`` says so and every dependency answers."""
        page = announced.get("status")
        return await _ask_page(page) if page else Report(is_ready=False, problems=("not listening yet",))


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Anything with an HTTP page that answers 200 when it is ready, as Envoy's admin has."""

    address: str
    path: str

    async def ask(self, announced: Mapping[str, str]) -> Report:  # noqa: ARG002  it announces nothing
        """Ready on 200."""
        return await _ask_page(self.address, self.path)


@dataclass(frozen=True, slots=True)
class NatsProbe:
    """A nats-server greets with its facts, JetStream among them."""

    address: str

    async def ask(self, announced: Mapping[str, str]) -> Report:  # noqa: ARG002  it announces nothing
        """Ready when it greets and JetStream is on."""
        host, _, port = self.address.rpartition(":")
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(host, int(port))
                try:
                    greeting = await reader.readline()
                finally:
                    writer.close()
            facts = json.loads(greeting.removeprefix(b"INFO "))
        except _NO_ANSWER as error:
            return Report(is_ready=False, problems=(_say(error),))
        if not facts.get("jetstream"):
            return Report(is_ready=False, problems=("JetStream is not up",))
        return Report(is_ready=True)


@dataclass(frozen=True, slots=True)
class EnvoyDrain:
    """Lets Envoy finish what it has begun; by itself it would drop calls in flight."""

    admin: str
    timeout_s: float = 3.0

    async def drain(self) -> None:
        """Asks for a graceful drain, then waits until no request is active, at most ``timeout_s``."""
        with contextlib.suppress(*_NO_ANSWER):
            async with asyncio.timeout(self.timeout_s):
                await http_call(self.admin, "/drain_listeners?graceful", method="POST")
                while await self._active_requests():  # noqa: ASYNC110  Envoy can only be asked
                    await asyncio.sleep(0.05)

    async def _active_requests(self) -> int:
        _, body = await http_call(self.admin, "/stats?filter=^http.edge.downstream_rq_active$")
        return int(body.rpartition(b":")[2] or 0)


async def _ask_page(address: str, path: str = "/readyz") -> Report:
    try:
        code, body = await http_call(address, path)
    except _NO_ANSWER as error:
        return Report(is_ready=False, problems=(_say(error),))
    dependencies, fallbacks = _details(body)
    problems = tuple(f"{name}: {text}" for name, text in dependencies.items() if text != "ok")
    if code != 200 and not problems:
        problems = (f"not ready ({code})",)
    return Report(code == 200, problems, tuple(f"{name}: {text}" for name, text in fallbacks.items()))


def _details(body: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Dependencies and fallbacks of a status page; empty for any other page."""
    try:
        page = json.loads(body)
        return (
            {str(name): str(text) for name, text in page.get("dependencies", {}).items()},
            {str(name): str(text) for name, text in page.get("fallbacks", {}).items()},
        )
    except (ValueError, AttributeError):
        return {}, {}


def _say(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "not listening yet"
    return "no answer in time" if isinstance(error, TimeoutError) else f"no sensible answer ({error})"
