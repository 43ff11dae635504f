"""A provider that does what a test wrote down, and a picture that nobody needs to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, Counter

from services.captioner.chain import Chain
from services.captioner.link import Link
from services.captioner.measurements import ColourShare, Measurements
from services.captioner.picture import Picture
from services.captioner.provider import Ask, Description, ParseMode
from services.captioner.studio import Studio

MEASURED = Measurements(width=400, height=300, colours=(ColourShare(0, 0, 200, 1.0),), face_count=1)
HANGS = "hangs"


def described(text: str = "A dog.", mode: ParseMode = ParseMode.JSON) -> Description:
    return Description(text, ("dog",), ("dog",), "en", "model-1", mode)


class ScriptedProvider:
    """Each call takes the next step: an answer, an error, or HANGS; the last step repeats."""

    model = "model-1"

    def __init__(self, provider_id: str, *steps: Description | Exception | str, takes_s: float = 1.0) -> None:
        self.id = provider_id
        self.called_at: list[float] = []
        self.cancelled = 0
        self.at_once = 0
        self._in_flight = 0
        self._steps = list(steps)
        self._takes_s = takes_s

    async def describe(self, picture: Picture, ask: Ask) -> Description:  # noqa: ARG002  plays its script
        self.called_at.append(asyncio.get_running_loop().time())
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
        assert isinstance(step, Description)
        return step


def untouched_picture(measured: Measurements | None = MEASURED) -> Picture:
    """Fails the test when its bytes are asked for."""

    async def load() -> bytes:
        raise AssertionError("nobody should read these bytes")

    picture = Picture(load, Studio(ThreadPoolExecutor(1), 1, 1_000_000), measured)
    picture._uploads[1024] = b"ready"
    return picture


def chain_of(
    *providers: ScriptedProvider, order: Sequence[str] = (), concurrency: int = 8, local: bool = True
) -> Chain:
    """The providers in order, with the local describer as the last one."""
    outcomes = Counter(
        "sightmill_caption_calls", "For tests", ["provider", "outcome"], registry=CollectorRegistry()
    )
    links = {each.id: Link(each, concurrency, outcomes) for each in providers}
    ids = tuple(order) or (*links, *(["local"] if local else []))
    return Chain(ids, links, {"openai": "Not configured: set OPENAI_API_KEY."})
