"""What calls cost: the port between asking a model and keeping to a budget."""

from __future__ import annotations

from typing import Protocol

from services.captioner.provider import Origin, Tokens


class Hold(Protocol):
    """The expected cost of one call, set aside. Exactly one of its methods ends it; none of them waits."""

    def described(self, tokens: Tokens) -> int | None:
        """The call described an image. Returns the price in millionths of a US dollar, None if not known."""

    def wasted(self, tokens: Tokens) -> None:
        """The call was billed for nothing."""

    def unsettled(self) -> None:
        """The call may have been billed; its estimate counts."""

    def released(self) -> None:
        """Nothing was billed."""


class Purse(Protocol):
    """Sets money and tokens aside before a call is made."""

    async def hold(self, provider: str, model: str, expected: Tokens, origin: Origin) -> Hold:
        """Raises ExhaustedError when a budget would be exceeded, PassedByError when that cannot be told."""
