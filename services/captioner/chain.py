"""Providers in order, each within its share of the caller's time; the local describer closes the chain."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.captioner.failures import chain_failed, not_configured
from services.captioner.lanes.link import Link
from services.captioner.local.local_describer import LOCAL_ID, LocalDescriber, compose
from services.captioner.picture import Picture
from services.captioner.prompt import PROMPT_VERSION
from services.captioner.provider import (
    SOMEBODY_WAITS,
    Ask,
    BadPictureError,
    ConfigError,
    Description,
    Origin,
    ParseMode,
    ProviderError,
)
from services.captioner.records.known_answers import KnownAnswer, KnownAnswers
from services.runtime.errors import InvalidArgumentError

# Kept back from the models: for the local describer, or to say in words why there is no answer.
RESERVE_S = 0.5
# An answer takes some seconds: shares are not cut below this, or below half of what is left if that is less.
MIN_SHARE_S = 15.0
NO_MODEL = "No model provider is configured; set MISTRAL_API_KEY or OPENAI_API_KEY."


@dataclass(frozen=True, slots=True)
class Attempt:
    """A provider that did not answer, and why, in words for callers."""

    provider: str
    message: str


@dataclass(frozen=True, slots=True)
class Told:
    """A description and how it came about; ``degraded_reason`` is empty when it is what was asked for.

    ``cached`` says that nothing was paid for it.
    """

    description: Description
    provider: str
    degraded_reason: str = ""
    attempts: tuple[Attempt, ...] = ()
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Errand:
    """What is wanted besides the words themselves: whose call it is, which providers, by when (loop time)."""

    deadline: float
    origin: Origin = SOMEBODY_WAITS
    wanted: tuple[str, ...] = ()
    skip_cache: bool = False


class Chain:
    """``order`` are the ids of the operator's chain; ``links`` the models among them that can be asked.

    ``hints`` say for each of the others how to configure it; ``known`` spares asking again.
    """

    def __init__(
        self, order: Sequence[str], links: Mapping[str, Link], hints: Mapping[str, str], known: KnownAnswers
    ) -> None:
        self.order = tuple(order)
        self.links = dict(links)
        self.hints = dict(hints)
        self._known = known
        self.local = LocalDescriber()

    def check(self, wanted: Sequence[str]) -> None:
        """Raises FailedPreconditionError for an id that is not in the operator's chain."""
        for provider in wanted:
            if provider not in self.order:
                raise not_configured(provider, f"It is not in this server's chain: {', '.join(self.order)}.")

    async def describe(self, picture: Picture, ask: Ask, errand: Errand) -> Told:
        """The first answer of the wanted providers, or of the operator's chain when none are named.

        Raises ServiceError: about the picture, or that nobody could answer.
        """
        wanted = errand.wanted
        self.check(wanted)
        steps = tuple(dict.fromkeys(wanted or self.order))
        models = [step for step in steps if step in self.links]
        failures: dict[str, ProviderError] = {}
        for step in steps:
            if step == LOCAL_ID:
                return await self._locally(picture, ask, wanted, failures)
            if step not in self.links:
                if wanted:
                    failures[step] = ConfigError(self.hints[step])
                continue
            limit = _share(errand.deadline - RESERVE_S, len(models) - models.index(step))
            try:
                answer = await self._ask(self.links[step], picture, ask, errand, limit)
            except ProviderError as error:
                failures[step] = error
            else:
                filled = await _with_words(answer.description, picture)
                return Told(filled, step, attempts=_attempts(failures), cached=answer.cached)
        raise chain_failed(failures, NO_MODEL)

    async def _ask(self, link: Link, picture: Picture, ask: Ask, errand: Errand, limit: float) -> KnownAnswer:
        try:
            return await self._known.describe(
                link, picture, ask, errand.origin, limit, skip_cache=errand.skip_cache
            )
        except InvalidArgumentError as error:
            # The bytes do not decode here; where measurements came along, words can still be found.
            if not picture.is_measured:
                raise
            raise BadPictureError(error.message) from error

    async def _locally(
        self, picture: Picture, ask: Ask, wanted: Sequence[str], failures: Mapping[str, ProviderError]
    ) -> Told:
        description = await self.local.describe(picture, ask)
        attempts = _attempts(failures)
        return Told(description, LOCAL_ID, _degraded_reason(wanted, attempts), attempts)

    def settings_digest(self, ask: Ask, wanted: Sequence[str]) -> str:
        """Sixteen hexadecimal digits of everything that decides an answer besides the picture."""
        models = [self._asked(step) for step in dict.fromkeys(wanted or self.order)]
        facts = {"models": models, "ask": dataclasses.asdict(ask), "prompt_version": PROMPT_VERSION}
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def _asked(self, step: str) -> tuple[str, ...]:
        if step in self.links:
            link = self.links[step]
            return step, link.provider.model, link.server
        return step, self.local.model if step == LOCAL_ID else ""


def _share(deadline: float, models_left: int) -> float:
    """When the next model must have answered, so that those after it have time, too."""
    now = asyncio.get_running_loop().time()
    left_s = deadline - now
    return min(deadline, now + max(left_s / models_left, min(MIN_SHARE_S, left_s / 2)))


async def _with_words(description: Description, picture: Picture) -> Description:
    """Prose has no tags: those that are measured fill in."""
    if description.parse_mode is not ParseMode.PROSE or not picture.is_measured:
        return description
    measured = compose(await picture.measurements())
    return dataclasses.replace(description, tags=measured.tags, objects=measured.objects)


def _attempts(failures: Mapping[str, ProviderError]) -> tuple[Attempt, ...]:
    return tuple(Attempt(provider, error.message) for provider, error in failures.items())


def _degraded_reason(wanted: Sequence[str], attempts: Sequence[Attempt]) -> str:
    if attempts:
        return "No model answered. " + " ".join(f"{each.provider}: {each.message}" for each in attempts)
    return "" if LOCAL_ID in wanted else NO_MODEL
