"""Tables of captions, providers and money that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from sightmill.cli.tables import new_table
from sightmill.results import clean
from sightmill.v1 import captioner_pb2, common_pb2

_STATE_STYLES = {
    captioner_pb2.PROVIDER_STATE_READY: "green",
    captioner_pb2.PROVIDER_STATE_THROTTLED: "yellow",
    captioner_pb2.PROVIDER_STATE_OPEN: "red",
    captioner_pb2.PROVIDER_STATE_EXHAUSTED: "red",
    captioner_pb2.PROVIDER_STATE_NOT_CONFIGURED: "dim",
}


def price(money: common_pb2.Money) -> str:
    """An amount with as many digits as it needs: USD 12.50, USD 0.00024."""
    units, micros = divmod(money.micros, 1_000_000)
    fraction = f"{micros:06d}".rstrip("0").ljust(2, "0")
    return f"{money.currency_code or 'USD'} {units:,}.{fraction}"


def provider_table(providers: Iterable[captioner_pb2.Provider]) -> Table:
    """The chain, one provider a line."""
    table = new_table(
        *("Provider", "State", "Model", "Flight", "Queue", "Today", "What to do"),
        right=("Flight", "Queue", "Today"),
        wide="What to do",
    )
    for each in providers:
        table.add_row(
            each.id,
            state_text(each.state),
            Text(clean(each.model)),
            str(each.in_flight),
            str(each.queued),
            price(each.spent_today) if each.HasField("spent_today") else "",
            Text(clean(each.message)),
        )
    return table


def lane_table(lanes: Iterable[captioner_pb2.ProviderLane]) -> Table:
    """The ways to one provider."""
    table = new_table(
        *("Key", "State", "Flight", "Requests/min", "Tokens/min", "What is wrong"),
        right=("Key", "Flight", "Requests/min", "Tokens/min"),
        wide="What is wrong",
    )
    for number, lane in enumerate(lanes, 1):
        table.add_row(
            str(number),
            state_text(lane.state),
            f"{lane.in_flight} of {lane.concurrency}",
            _of(lane.requests_used, lane.requests_per_minute),
            _of(lane.tokens_used, lane.tokens_per_minute),
            Text(clean(lane.message)),
        )
    return table


def budget_table(budgets: Iterable[captioner_pb2.CaptionBudget]) -> Table:
    """Budgets and what is used of them."""
    table = new_table("Budget", "For", "Money", "Tokens", right=("Money", "Tokens"))
    for budget in budgets:
        has_money = budget.HasField("limit")
        table.add_row(
            budget.provider or "all providers",
            budget.period,
            f"{price(budget.used)} of {price(budget.limit)}" if has_money else "",
            _of(budget.tokens_used, budget.token_limit) if budget.token_limit or not has_money else "",
        )
    return table


def usage_table(rows: Iterable[captioner_pb2.CaptionUsage], *, by_batch: bool) -> Table:
    """What was spent, one row a day and provider."""
    columns = ["Day", "Provider", "Images", "Cached", "Unsettled", "Tokens in", "Tokens out", "Cost"]
    if by_batch:
        columns.insert(2, "Batch")
    table = new_table(*columns, right=columns[columns.index("Images") :])
    for row in rows:
        cells = [
            row.day,
            row.provider,
            f"{row.image_count:,}",
            f"{row.cached_count:,}",
            f"{row.unsettled_count:,}",
            f"{row.usage.input_tokens:,}",
            f"{row.usage.output_tokens:,}",
            price(row.usage.cost),
        ]
        if by_batch:
            cells.insert(2, row.batch.removeprefix("batches/"))
        table.add_row(*cells)
    return table


def state_text(state: captioner_pb2.ProviderState.ValueType) -> Text:
    """A state in words."""
    name = captioner_pb2.ProviderState.Name(state).removeprefix("PROVIDER_STATE_").lower().replace("_", " ")
    return Text(name, style=_STATE_STYLES.get(state, ""))


def _of(used: int, limit: int) -> str:
    return f"{used:,} of {limit:,}" if limit else f"{used:,}"
