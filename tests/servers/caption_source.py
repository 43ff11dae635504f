"""A link that answers when a test wants, and a picture that nobody needs to look at."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor

from services.captioner.picture import Picture, Upload
from services.captioner.provider import (
    Access,
    Answer,
    Ask,
    Description,
    Origin,
    ParseMode,
    PassedByError,
    Tokens,
)
from services.captioner.studio import Studio

DIGEST = hashlib.sha256(b"sea").hexdigest()


def described(text: str = "A dog.", mode: ParseMode = ParseMode.JSON) -> Description:
    attributes = {"mood": "calm", "persons": 2, "parts": ["sea", {"far": True}]}
    return Description(
        text, ("dog", "sea"), ("dog",), "de", "model-1-0", mode, Tokens(900, 40), attributes, 159
    )


@dataclasses.dataclass
class Named:
    """A provider that is never asked itself."""

    id: str = "mistral"
    model: str = "model-1"

    def edge_px(self, ask: Ask) -> int:
        raise NotImplementedError

    def expected_tokens(self, upload: Upload, ask: Ask) -> Tokens:
        raise NotImplementedError

    async def describe(self, upload: Upload, ask: Ask, access: Access) -> Answer:
        raise NotImplementedError


class Source:
    """Answers after ``takes_s``, and keeps to the deadline."""

    def __init__(
        self,
        provider: Named,
        ending: Description | Exception | None = None,
        takes_s: float = 10.0,
        server: str = "0011223344556677",
    ) -> None:
        self.provider = provider
        self.server = server
        self.takes_s = takes_s
        self.ending = ending or described()
        self.asked = self.cancelled = 0

    async def describe(
        self,
        picture: Picture,  # noqa: ARG002  nobody looks at it
        ask: Ask,  # noqa: ARG002  nor at what is asked
        origin: Origin,  # noqa: ARG002  nor at who asks
        deadline: float,
    ) -> Description:
        self.asked += 1
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.sleep(self.takes_s)
        except TimeoutError:
            raise PassedByError("No time.") from None
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.ending, Exception):
            raise self.ending
        return self.ending


def picture() -> Picture:
    """Fails the test when its bytes are asked for."""

    async def load() -> bytes:
        raise AssertionError("nobody should read these bytes")

    return Picture(load, Studio(ThreadPoolExecutor(1), 1, 1_000_000), None, DIGEST)
