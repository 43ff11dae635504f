"""What models cost, and so what a call costs. Money in millionths of a US dollar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.captioner.provider import Tokens
from services.captioner.settings import PriceSetting

_MICROS = 1_000_000
# OpenAI's snapshots of a model cost what the model costs; elsewhere a number at the end is another model.
_SNAPSHOT = re.compile(r"-20\d\d-[01]\d-[0-3]\d$")
_FREE = frozenset({"blip", "blip-local", "local"})


@dataclass(frozen=True, slots=True)
class Price:
    """For a million tokens of prompts and of answers."""

    input_micros: int
    output_micros: int


def _usd(input_usd: float, output_usd: float) -> Price:
    return Price(round(input_usd * _MICROS), round(output_usd * _MICROS))


_SMALL, _MEDIUM, _LARGE = _usd(0.15, 0.6), _usd(1.5, 7.5), _usd(0.5, 1.5)
# As of 2026-11.
_BUILT_IN: Mapping[str, Mapping[str, Price]] = {
    "mistral": {
        "mistral-small-latest": _SMALL,
        "mistral-small-2603": _SMALL,
        "mistral-medium-latest": _MEDIUM,
        "mistral-medium-3-5": _MEDIUM,
        "mistral-large-latest": _LARGE,
        "mistral-large-2512": _LARGE,
        **{f"ministral-3b-{edition}": _usd(0.1, 0.1) for edition in ("latest", "2512")},
        **{f"ministral-8b-{edition}": _usd(0.15, 0.15) for edition in ("latest", "2512")},
        **{f"ministral-14b-{edition}": _usd(0.2, 0.2) for edition in ("latest", "2512")},
    },
    "openai": {
        "gpt-5.4-mini": _usd(0.75, 4.5),
        "gpt-5.4-nano": _usd(0.2, 1.25),
    },
}


class PriceTable:
    """The published prices of Mistral and OpenAI; ``overrides`` by model come before them."""

    def __init__(self, overrides: Mapping[str, PriceSetting]) -> None:
        self._overrides = {model: _usd(price.input, price.output) for model, price in overrides.items()}

    def price(self, provider: str, model: str) -> Price | None:
        """The price of a model at a provider; None when it is not known."""
        for name in (model, _SNAPSHOT.sub("", model)):
            known = self._overrides.get(name) or _BUILT_IN.get(provider, {}).get(name)
            if known:
                return known
        return Price(0, 0) if provider in _FREE else None

    def cost_micros(self, provider: str, model: str, tokens: Tokens) -> int | None:
        """The price of a call, rounded up; None when the price of the model is not known."""
        price = self.price(provider, model)
        if price is None:
            return None
        return -(-(tokens.input * price.input_micros + tokens.output * price.output_micros) // _MICROS)
