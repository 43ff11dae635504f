"""Asks only for what is not known: from the records, else from a call in flight, else from the provider."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Protocol

from services.captioner.money.spending import Outcome, Settlement, new_id
from services.captioner.picture import Picture
from services.captioner.prompt import PROMPT_VERSION
from services.captioner.provider import (
    Ask,
    Description,
    Origin,
    ParseMode,
    PassedByError,
    Provider,
    ProviderError,
    SlowAnswerError,
    ThrottledError,
    Tokens,
    TransientError,
)
from services.captioner.records.caption_message import description_from, message_from
from services.captioner.records.port import Records, RecordsAwayError
from services.captioner.records.single_flight import SingleFlight

# Changes when the form of what is kept does.
RECORD_VERSION = "1"
# Asked for JSON, these answer in prose by accident only; the next answer may be better.
_SPEAKS_JSON = frozenset({"mistral", "openai", "compatible"})


class Source(Protocol):
    """What is asked where nothing is known."""

    @property
    def provider(self) -> Provider:
        """Whose answers these are."""

    @property
    def server(self) -> str:
        """Stands for the addresses that are asked."""

    async def describe(self, picture: Picture, ask: Ask, origin: Origin, deadline: float) -> Description:
        """One description before ``deadline`` (loop time)."""


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A description; ``cached`` when it cost nothing, and then it says so."""

    description: Description
    cached: bool


class KnownAnswers:
    """Shares what is known among all who ask for the same picture in the same way."""

    def __init__(self, records: Records) -> None:
        self._records = records
        # By key, and whether a batch asks: a person who joins must not stand in the line of a batch.
        self._flights: SingleFlight[tuple[bytes, bool], KnownAnswer] = SingleFlight(_lacked_time)

    async def describe(
        self,
        link: Source,
        picture: Picture,
        ask: Ask,
        origin: Origin,
        deadline: float,
        skip_cache: bool = False,
    ) -> KnownAnswer:
        """One answer before ``deadline`` (loop time); raises as ``link.describe`` and ``picture.digest``.

        A picture that is not there in time raises PassedByError: others of the chain may do without it.
        With ``skip_cache`` the provider is asked in any case; its answer replaces the one that is known.
        """
        sha256 = await _digest(picture, deadline)
        key = answer_key(sha256, link.provider, link.server, ask)

        async def ask_anew() -> KnownAnswer:
            description = await link.describe(picture, ask, origin, deadline)
            self._keep(key, sha256, link.provider.id, description)
            return KnownAnswer(description, cached=False)

        async def look_up_or_ask() -> KnownAnswer:
            return await self._look_up(key) or await ask_anew()

        if skip_cache:
            return await ask_anew()
        try:
            answer, leads = await self._flights.share((key, origin.batch != ""), deadline, look_up_or_ask)
        except TimeoutError:
            raise PassedByError(
                "The same image is asked about already, by a call that has more time."
            ) from None
        if not leads:
            answer = _free(answer)
        if answer.cached:
            self._count(link.provider.id, origin)
        return answer

    async def _look_up(self, key: bytes) -> KnownAnswer | None:
        try:
            caption = await self._records.look_up(key)
        except RecordsAwayError:
            return None
        return KnownAnswer(description_from(caption), cached=True) if caption else None

    def _keep(self, key: bytes, sha256: str, provider: str, description: Description) -> None:
        if description.parse_mode is ParseMode.PROSE and provider in _SPEAKS_JSON:
            return
        self._records.keep(key, sha256, message_from(description, provider))

    def _count(self, provider: str, origin: Origin) -> None:
        settlement = Settlement(new_id(), provider, origin.batch, 0, Tokens(), Outcome.CACHED)
        self._records.settle(settlement)


def answer_key(sha256: str, provider: Provider, server: str, ask: Ask) -> bytes:
    """32 bytes for everything that decides an answer: SHA-256 of it as JSON."""
    source = (RECORD_VERSION, PROMPT_VERSION, sha256, provider.id, provider.model, server)
    canonical = json.dumps((*source, ask.language, ask.prompt, ask.detail, ask.max_output_tokens))
    return hashlib.sha256(canonical.encode()).digest()


async def _digest(picture: Picture, deadline: float) -> str:
    try:
        async with asyncio.timeout_at(deadline):
            return await picture.digest()
    except TimeoutError:
        raise PassedByError("The picture was not ready in time.") from None


def _free(answer: KnownAnswer) -> KnownAnswer:
    free = dataclasses.replace(answer.description, tokens=Tokens(), cost_micros=0)
    return KnownAnswer(free, cached=True)


def _lacked_time(error: Exception) -> bool:
    """With more time it would have waited its turn, or tried again.

    A provider's failure that may be billed is not asked for once more by everybody who waits for it; a caller
    whose own time was too short is no such failure.
    """
    if isinstance(error, PassedByError):
        return True
    if isinstance(error, SlowAnswerError) or (isinstance(error, ProviderError) and error.may_be_billed):
        return False
    return isinstance(error, TransientError | ThrottledError)
