"""What describes a picture in words, and the ways in which that may go wrong."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from services.captioner.picture import Upload

Detail = Literal["low", "high"]


class ParseMode(enum.Enum):
    """How the structured answer was found in what the model said."""

    NOT_ASKED = "not asked"
    JSON = "json"
    REPAIRED = "repaired"
    SECTIONS = "sections"
    PROSE = "prose"


@dataclass(frozen=True, slots=True)
class Ask:
    """What to say about a picture.

    ``language`` is a BCP 47 tag, ``prompt`` replaces the built-in instruction unless it is empty.
    """

    language: str = "en"
    prompt: str = ""
    detail: Detail = "high"
    max_output_tokens: int = 400


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose call it is. ``batch`` is ``batches/{batch}``, empty for a call that somebody waits for."""

    batch: str = ""


SOMEBODY_WAITS = Origin()


@dataclass(frozen=True, slots=True)
class Access:
    """One way to a provider: a base address without a slash at its end, and a key; both may be empty."""

    base_url: str = ""
    key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call takes, or is expected to take: tokens of the prompt, image included, and of the answer."""

    input: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider's answer says of its rate limits; None where it says nothing.

    Limits and what is left of them are for a minute; ``..._reset_s`` is the time until all is free again.
    """

    requests: int | None = None
    requests_left: int | None = None
    requests_reset_s: float | None = None
    tokens: int | None = None
    tokens_left: int | None = None
    tokens_reset_s: float | None = None


NO_LIMITS = Limits()
NO_ATTRIBUTES: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Description:
    """A picture in words. ``language`` is that of the words, which may not be the one that was asked for.

    ``attributes`` is what the model answered besides, as JSON values. ``cost_micros`` is the price in
    millionths of a US dollar; None when the price table does not know the model.
    """

    text: str
    tags: tuple[str, ...]
    objects: tuple[str, ...]
    language: str
    model: str
    parse_mode: ParseMode
    tokens: Tokens = Tokens()
    attributes: Mapping[str, object] = field(default_factory=lambda: NO_ATTRIBUTES)
    cost_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A description, and what came along with it."""

    description: Description
    limits: Limits = NO_LIMITS


class Provider(Protocol):
    """One way to describe a picture. Safe to call concurrently; cancelling the call stops the work.

    It sends one request and neither waits nor repeats: that is the link's part.
    """

    @property
    def id(self) -> str:
        """Stable lower-case word."""

    @property
    def model(self) -> str:
        """The model that is asked."""

    def edge_px(self, ask: Ask) -> int:
        """The longest edge of the picture that it wants to see."""

    def expected_tokens(self, upload: Upload, ask: Ask) -> Tokens:
        """What a call will take at most, by the published formulas; zero where nothing is counted."""

    async def describe(self, upload: Upload, ask: Ask, access: Access) -> Answer:
        """Describes one picture; raises a ProviderError."""


class ProviderError(Exception):
    """A provider did not answer.

    ``message`` is for callers: it never holds a key, an address or text of the provider, which may quote
    either. ``retry_after_s`` is the wait that the provider asked for. ``tokens`` is what was billed all the
    same, where the provider says so; ``may_be_billed`` whether something may have been where it does not.
    """

    kind: ClassVar[str] = "failed"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        limits: Limits = NO_LIMITS,
        tokens: Tokens | None = None,
        may_be_billed: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.limits = limits
        self.tokens = tokens
        self.may_be_billed = may_be_billed


class TransientError(ProviderError):
    """The same call may succeed in a moment."""

    kind = "transient"


class FormRefusedError(ProviderError):
    """The server does not take this form of request; the provider will use another one from now on."""

    kind = "form"


class SlowAnswerError(TransientError):
    """No answer in time. It may be billed all the same, so it is repeated once at most."""

    kind = "slow"


class PassedByError(ProviderError):
    """It was not asked: too little time, too many waiting, or it is left alone for a while."""

    kind = "passed by"


class ThrottledError(ProviderError):
    """The provider's rate limit is reached."""

    kind = "throttled"


class ExhaustedError(ProviderError):
    """A quota or a credit is used up; waiting a little does not help."""

    kind = "exhausted"


class ConfigError(ProviderError):
    """The key, the model or the address is wrong: an operator must act."""

    kind = "config"


class RefusedError(ProviderError):
    """The model does not want to describe this picture."""

    kind = "refused"


class BadPictureError(ProviderError):
    """The provider cannot take this picture."""

    kind = "bad picture"


class AnswerError(ProviderError):
    """There was an answer, billed perhaps, and nothing in it can be used."""

    kind = "answer"
