"""What calls cost, to the millionth."""

from __future__ import annotations

import pytest

from services.captioner.money.prices import Price, PriceTable
from services.captioner.provider import Tokens
from services.captioner.settings import PriceSetting

BUILT_IN = PriceTable({})


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        ("mistral", "mistral-small-latest", (150_000, 600_000)),
        ("mistral", "mistral-small-2603", (150_000, 600_000)),
        ("mistral", "mistral-medium-3-5", (1_500_000, 7_500_000)),
        ("mistral", "mistral-large-2512", (500_000, 1_500_000)),
        ("mistral", "ministral-3b-latest", (100_000, 100_000)),
        ("mistral", "ministral-8b-2512", (150_000, 150_000)),
        ("mistral", "ministral-14b-latest", (200_000, 200_000)),
        ("openai", "gpt-5.4-mini", (750_000, 4_500_000)),
        ("openai", "gpt-5.4-mini-2026-03-17", (750_000, 4_500_000)),
        ("openai", "gpt-5.4-nano", (200_000, 1_250_000)),
        ("blip", "blip", (0, 0)),
        ("blip-local", "any-folder", (0, 0)),
        ("local", "measurements", (0, 0)),
    ],
)
def test_published_prices(provider: str, model: str, price: tuple[int, int]) -> None:
    assert BUILT_IN.price(provider, model) == Price(*price)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        # Another generation under the same name, at another price.
        ("mistral", "mistral-small-2503"),
        ("mistral", "mistral-small-2503-2026-03-17"),
        ("openai", "gpt-5.4"),
        ("openai", "gpt-5.4-mini-2603"),
        # Somebody else's server may call its model anything.
        ("compatible", "mistral-small-latest"),
        ("endpoint", "endpoint"),
    ],
)
def test_what_is_not_known_has_no_price(provider: str, model: str) -> None:
    assert BUILT_IN.price(provider, model) is None
    assert BUILT_IN.cost_micros(provider, model, Tokens(1, 1)) is None


def test_the_operators_prices_come_first() -> None:
    table = PriceTable(
        {
            "mistral-small-latest": PriceSetting(input=1, output=2),
            "llava": PriceSetting(input=0, output=0),
            "gpt-5.4-nano": PriceSetting(input=0.1, output=0.1),
        }
    )
    assert table.price("mistral", "mistral-small-latest") == Price(1_000_000, 2_000_000)
    assert table.price("compatible", "llava") == Price(0, 0)
    assert table.price("openai", "gpt-5.4-nano-2026-03-17") == Price(100_000, 100_000)
    assert table.price("mistral", "mistral-small-2603") == Price(150_000, 600_000)


@pytest.mark.parametrize(
    ("tokens", "micros"),
    [(Tokens(), 0), (Tokens(1, 0), 1), (Tokens(1_200, 100), 240), (Tokens(1_201, 100), 241)],
)
def test_cost_is_rounded_up(tokens: Tokens, micros: int) -> None:
    assert BUILT_IN.cost_micros("mistral", "mistral-small-latest", tokens) == micros
