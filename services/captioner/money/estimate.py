"""What describing a number of images will cost, at most, and how long it will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.captioner.money.budget import BudgetStanding
from services.captioner.money.prices import PriceTable
from services.captioner.picture import Upload
from services.captioner.provider import Ask, Provider, Tokens

# What a duration on the wire can hold: ten thousand years.
MAX_DURATION_S = 315_576_000_000.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """For all images. ``cost_micros`` is None without a price, ``duration_s`` without a known rate limit."""

    tokens: Tokens
    cost_micros: int | None
    duration_s: float | None
    over_budget: bool


def estimate(
    provider: Provider,
    ask: Ask,
    image_count: int,
    rate_per_minute: tuple[int | None, int | None],
    prices: PriceTable,
    standings: Sequence[BudgetStanding],
) -> Estimate:
    """Pictures of 4:3 at the size that the provider wants, answers of the longest kind.

    ``rate_per_minute`` are requests and tokens, None where the limit is not known.
    """
    edge_px = provider.edge_px(ask)
    each = provider.expected_tokens(Upload(b"", edge_px, edge_px * 3 // 4), ask)
    tokens = Tokens(each.input * image_count, each.output * image_count)
    cost = prices.cost_micros(provider.id, provider.model, tokens)
    requests_limit, tokens_limit = rate_per_minute
    minutes = [
        *([image_count / requests_limit] if requests_limit else []),
        *([tokens.total / tokens_limit] if tokens_limit else []),
    ]
    return Estimate(
        tokens,
        cost,
        min(MAX_DURATION_S, 60 * max(minutes)) if minutes else None,
        any(_exceeds(standing, cost, tokens.total) for standing in standings),
    )


def _exceeds(standing: BudgetStanding, cost_micros: int | None, tokens: int) -> bool:
    limit, used = standing.limit, standing.used or 0
    if limit.micros is not None:
        # Without a known price nothing is spent at all.
        return cost_micros is None or used + cost_micros > limit.micros
    return limit.tokens is not None and used + tokens > limit.tokens
