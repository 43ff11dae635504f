"""What describes a picture in words, and the ways in which that may go wrong."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from services.captioner.picture import Picture

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
class Description:
    """A picture in words. ``language`` is that of the words, which may not be the one that was asked for."""

    text: str
    tags: tuple[str, ...]
    objects: tuple[str, ...]
    language: str
    model: str
    parse_mode: ParseMode
    input_tokens: int = 0
    output_tokens: int = 0


class Provider(Protocol):
    """One way to describe a picture. Safe to call concurrently; cancelling the call stops the work."""

    @property
    def id(self) -> str:
        """Stable lower-case word."""

    @property
    def model(self) -> str:
        """The model that is asked."""

    async def describe(self, picture: Picture, ask: Ask) -> Description:
        """Describes one picture; raises a ProviderError, or a ServiceError about the picture itself."""


class ProviderError(Exception):
    """A provider did not answer.

    ``message`` is for callers: it never holds a key, an address or text of the provider, which may quote
    either. ``retry_after_s`` is the wait that the provider asked for.
    """

    kind: ClassVar[str] = "failed"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class TransientError(ProviderError):
    """The same call may succeed in a moment."""

    kind = "transient"


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
