"""A provider that does what a test wrote down, and a picture that nobody needs to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from services.captioner.chain import Chain
from services.captioner.lanes.lane import Lane
from services.captioner.lanes.link import Link
from services.captioner.measurements import ColourShare, Measurements
from services.captioner.money.purse import Hold
from services.captioner.picture import Load, Picture, Upload
from services.captioner.provider import (
    Access,
    Answer,
    Ask,
    Description,
    Origin,
    ParseMode,
    ProviderError,
    Tokens,
)
from services.captioner.studio import Studio

MEASURED = Measurements(width=400, height=300, colours=(ColourShare(0, 0, 200, 1.0),), face_count=1)
HANGS = "hangs"
EXPECTED = Tokens(1_000, 400)
PRICE_MICROS = 240


def described(
    text: str = "A dog.", mode: ParseMode = ParseMode.JSON, tokens: Tokens | None = None
) -> Description:
    return Description(text, ("dog",), ("dog",), "en", "model-1", mode, tokens or Tokens(900, 100))


class ScriptedProvider:
    """Each call takes the next step: an answer, an error, or HANGS; the last step repeats."""

    model = "model-1"

    def __init__(
        self, provider_id: str, *steps: Description | Answer | Exception | str, takes_s: float = 1.0
    ) -> None:
        self.id = provider_id
        self.called_at: list[float] = []
        self.keys: list[str] = []
        self.cancelled = 0
        self.at_once = 0
        self._in_flight = 0
        self._steps = list(steps)
        self._takes_s = takes_s

    def edge_px(self, ask: Ask) -> int:  # noqa: ARG002  one size
        return 1024

    def expected_tokens(self, upload: Upload, ask: Ask) -> Tokens:  # noqa: ARG002  one size
        return EXPECTED

    async def describe(self, upload: Upload, ask: Ask, access: Access) -> Answer:  # noqa: ARG002  a script
        self.called_at.append(asyncio.get_running_loop().time())
        self.keys.append(access.key)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        self._in_flight += 1
        self.at_once = max(self.at_once, self._in_flight)
        try:
            await asyncio.sleep(1e9 if step == HANGS else self._takes_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._in_flight -= 1
        if isinstance(step, Exception):
            raise step
        assert not isinstance(step, str)
        return Answer(step) if isinstance(step, Description) else step


class NotedPurse:
    """Knows how each hold ended; with ``refusal`` there is no money."""

    def __init__(self, refusal: ProviderError | None = None, takes_s: float = 0.0) -> None:
        self.endings: list[tuple[str, Tokens | None]] = []
        self.held: list[tuple[str, str, Tokens, Origin]] = []
        self.refusal = refusal
        self._takes_s = takes_s

    async def hold(self, provider: str, model: str, expected: Tokens, origin: Origin) -> Hold:
        if self._takes_s:
            await asyncio.sleep(self._takes_s)
        if self.refusal:
            raise self.refusal
        self.held.append((provider, model, expected, origin))
        return _NotedHold(self)


class _NotedHold:
    def __init__(self, purse: NotedPurse) -> None:
        self._purse = purse

    def described(self, tokens: Tokens) -> int | None:
        self._purse.endings.append(("described", tokens))
        return PRICE_MICROS

    def wasted(self, tokens: Tokens) -> None:
        self._purse.endings.append(("wasted", tokens))

    def unsettled(self) -> None:
        self._purse.endings.append(("unsettled", None))

    def released(self) -> None:
        self._purse.endings.append(("released", None))


def untouched_picture(measured: Measurements | None = MEASURED) -> Picture:
    """Fails the test when its bytes are asked for."""

    async def load() -> bytes:
        raise AssertionError("nobody should read these bytes")

    picture = Picture(load, Studio(ThreadPoolExecutor(1), 1, 1_000_000), measured)
    picture._uploads[1024] = Upload(b"ready", 1024, 768)
    return picture


class _PatientStudio(Studio):
    def __init__(self) -> None:
        pass

    async def digest(self, load: Load) -> str:  # noqa: ARG002  nothing is ever ready
        await asyncio.sleep(1e6)
        return ""

    async def upload(self, load: Load, edge_px: int) -> Upload:  # noqa: ARG002  nothing is ever ready
        await asyncio.sleep(1e6)
        return Upload(b"", 1, 1)


def hanging_picture(measured: Measurements | None = MEASURED) -> Picture:
    """Its bytes never come."""

    async def load() -> bytes:
        raise AssertionError("nobody should read these bytes")

    return Picture(load, _PatientStudio(), measured)


def new_outcomes() -> Counter:
    return Counter(
        "sightmill_caption_calls", "For tests", ["provider", "outcome"], registry=CollectorRegistry()
    )


def link_of(
    provider: Any,
    *lanes: Lane,
    purse: NotedPurse | None = None,
    outcomes: Counter | None = None,
    max_waiting: int = 256,
) -> Link:
    """A link with these lanes, or with one that takes eight calls at a time."""
    return Link(
        provider,
        lanes or (Lane(Access(key="k1"), 8),),
        purse or NotedPurse(),
        outcomes or new_outcomes(),
        max_waiting,
    )


@dataclass(frozen=True)
class _Fresh:
    description: Description
    cached: bool = False


class _KnowsNothing:
    """Stands where answers are remembered, and asks each time."""

    async def describe(
        self, link: Link, picture: Picture, ask: Ask, origin: Origin, deadline: float, **_: bool
    ) -> _Fresh:
        return _Fresh(await link.describe(picture, ask, origin, deadline))


def chain_of(
    *providers: ScriptedProvider,
    order: Sequence[str] = (),
    concurrency: int = 8,
    local: bool = True,
    base_url: str = "",
    known: Any = None,
) -> Chain:
    """The providers in order, with the local describer as the last one."""
    outcomes, access = new_outcomes(), Access(base_url, "k1")
    links = {each.id: link_of(each, Lane(access, concurrency), outcomes=outcomes) for each in providers}
    ids = tuple(order) or (*links, *(["local"] if local else []))
    known = known or _KnowsNothing()
    return Chain(ids, links, {"openai": "Not configured: set OPENAI_API_KEY."}, known)
