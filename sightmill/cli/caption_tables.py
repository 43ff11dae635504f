"""Tables of captions, providers and money that fit 80 columns.

Sentences stand below a table, each with what it is about: in a cell they would be a word wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC

from rich.table import Table
from rich.text import Text

from sightmill.cli.amounts import price, short_count
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
_COUNTS = ("Images", "Cached", "Input", "Output")
_COUNTS_BY_BATCH = ("Batch", "Images", "Cached", "Tokens")


def provider_table(providers: Iterable[captioner_pb2.Provider]) -> Table:
    """The chain, one provider a line."""
    table = new_table(
        *("Provider", "State", "Model", "Flight", "Queue", "Today"),
        right=("Flight", "Queue", "Today"),
        wide="Model",
    )
    for each in providers:
        table.add_row(
            Text(clean(each.id)),
            state_text(each.state),
            Text(clean(each.model)),
            f"{each.in_flight:,}",
            f"{each.queued:,}",
            _amount(each.spent_today, each.HasField("spent_today"), ""),
        )
    return table


def lane_table(lanes: Iterable[captioner_pb2.ProviderLane]) -> Table:
    """The ways to one provider."""
    table = new_table(
        *("Lane", "State", "Flight", "Requests/min", "Tokens/min"),
        right=("Lane", "Flight", "Requests/min", "Tokens/min"),
    )
    for number, lane in enumerate(lanes, 1):
        table.add_row(
            str(number),
            state_text(lane.state),
            f"{lane.in_flight:,} of {lane.concurrency:,}",
            _of(lane.requests_used, lane.requests_per_minute),
            _of(lane.tokens_used, lane.tokens_per_minute),
        )
    return table


def lane_notes(lanes: Iterable[captioner_pb2.ProviderLane]) -> list[tuple[str, str]]:
    """What is wrong with each lane, and when it is asked again."""
    notes = []
    for number, lane in enumerate(lanes, 1):
        named = f"Lane {number}"
        if said := clean(lane.message):
            notes.append((named, said))
        if lane.HasField("resume_time"):
            again = lane.resume_time.ToDatetime(UTC).astimezone()
            notes.append(("" if said else named, f"Asked again at {again:%H:%M:%S}."))
    return notes


def budget_table(budgets: Iterable[captioner_pb2.CaptionBudget]) -> Table:
    """Budgets and what is used of them, money and tokens in lines of their own."""
    table = new_table("Budget of", "For a", "Used", "Limit", right=("Used", "Limit"))
    for budget in budgets:
        whose = Text(clean(budget.provider) or "all providers"), Text(clean(budget.period))
        if budget.HasField("limit"):
            used = _amount(budget.used, budget.HasField("used"))
            table.add_row(*whose, used, _amount(budget.limit))
        if budget.token_limit or not budget.HasField("limit"):
            table.add_row(*whose, f"{budget.tokens_used:,} tokens", f"{budget.token_limit:,} tokens")
    return table


def usage_table(rows: Iterable[captioner_pb2.CaptionUsage], *, by_batch: bool) -> Table:
    """What was spent, one row a day and provider, and batch where that is asked for."""
    table = new_table(
        *("Day", "Provider", *(_COUNTS_BY_BATCH if by_batch else _COUNTS), "Cost"),
        right=(*_COUNTS, "Tokens", "Cost"),
        wide="Batch",
    )
    for row in rows:
        tokens = [row.usage.input_tokens, row.usage.output_tokens]
        table.add_row(
            Text(clean(row.day)),
            Text(clean(row.provider)),
            *([Text(clean(row.batch).removeprefix("batches/"))] if by_batch else []),
            short_count(row.image_count),
            short_count(row.cached_count),
            *map(short_count, [sum(tokens)] if by_batch else tokens),
            _amount(row.usage.cost, row.usage.HasField("cost")),
        )
    return table


def usage_notes(rows: Sequence[captioner_pb2.CaptionUsage]) -> list[tuple[str, str]]:
    """The rows together, and what may have been paid for nothing."""
    costs: dict[str, int] = {}
    for row in rows:
        if row.usage.HasField("cost"):
            currency = row.usage.cost.currency_code
            costs[currency] = costs.get(currency, 0) + row.usage.cost.micros
    spent = [price(common_pb2.Money(currency_code=each, micros=micros)) for each, micros in costs.items()]
    images, unsettled = sum(row.image_count for row in rows), sum(row.unsettled_count for row in rows)
    unsure = f"{unsettled:,} without an answer that may have been billed; their estimate is in the cost"
    return [
        ("Together", f"{' and '.join(spent) or 'cost not known'} for {images:,} images"),
        ("Calls", unsure if unsettled else ""),
    ]


def state_text(state: captioner_pb2.ProviderState.ValueType) -> Text:
    """A state in words; one that this client has never heard of is not known."""
    if state not in _STATE_STYLES:
        return Text("not known", style="dim")
    name = captioner_pb2.ProviderState.Name(state).removeprefix("PROVIDER_STATE_")
    return Text(name.lower().replace("_", " "), style=_STATE_STYLES[state])


def _of(used: int, limit: int) -> str:
    return f"{used:,} of {limit:,}" if limit else f"{used:,}"


def _amount(money: common_pb2.Money, is_known: bool = True, otherwise: str = "not known") -> Text:
    # As text: the currency is the server's word, and a cell that is a string is read as markup.
    return Text(price(money) if is_known else otherwise)
