"""`sightmill providers`: who describes images, how they are, and what they may cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sightmill.cli.caption_tables import budget_table, lane_table, price, provider_table, state_text
from sightmill.cli.captions import print_caption
from sightmill.cli.catalog_options import (
    ADDRESS,
    TIMEOUT_S,
    Address,
    Timeout,
    command_group,
    print_document,
    run,
)
from sightmill.cli.options import AsJson
from sightmill.cli.tables import print_facts
from sightmill.client import Client
from sightmill.errors import from_status
from sightmill.results import clean, print_failures
from sightmill.v1 import common_pb2

_ABOUT = """Who describes images, how they are, and what they may cost.

\b
The chain, in order:       sightmill providers ls
Limits, keys, budgets:     sightmill providers show mistral
Does it work?              sightmill providers test mistral photo.jpg
"""
providers = command_group(_ABOUT)
Which = Annotated[str, typer.Argument(metavar="PROVIDER", help="As providers ls shows it.")]


@providers.command()
def ls(as_json: AsJson = False, address: Address = ADDRESS, timeout_s: Timeout = TIMEOUT_S) -> None:
    """List the chain of providers, in the order in which they are asked."""
    found = run(Client.list_providers, address, timeout_s, "ls")
    if as_json:
        print_document(found)
        return
    Console().print(provider_table(found.providers))


@providers.command()
def show(
    provider: Which, as_json: AsJson = False, address: Address = ADDRESS, timeout_s: Timeout = TIMEOUT_S
) -> None:
    """Show a provider: its keys or addresses with their limits, its price, its budgets."""
    listed = run(Client.list_providers, address, timeout_s, provider).providers
    found = next((each for each in listed if each.id == provider), None)
    if found is None:
        known = ", ".join(each.id for each in listed)
        typer.secho(f"{provider}: not in the chain; there are: {known}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1)
    if as_json:
        print_document(found)
        return
    console = Console()
    has_price = found.HasField("input_price")
    facts = (
        ("Provider", found.id),
        ("Model", clean(found.model)),
        ("State", state_text(found.state).plain),
        ("What to do", clean(found.message)),
        ("Price", _prices(found.input_price, found.output_price) if has_price else "not known"),
        ("Spent today", price(found.spent_today) if found.HasField("spent_today") else "not known"),
        ("This month", price(found.spent_month) if found.HasField("spent_month") else "not known"),
    )
    print_facts(console, facts)
    for table in (lane_table(found.lanes), budget_table(found.budgets)):
        if table.row_count:
            console.print()
            console.print(table)


@providers.command("test")
def try_out(
    provider: Which,
    photo: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The image to send.")],
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = 120.0,
) -> None:
    """Send one image to one provider, past chain and cache. It may cost a little."""
    content = photo.read_bytes()
    answer = run(lambda client: client.test_provider(provider, content), address, timeout_s, provider)
    if as_json:
        print_document(answer)
    elif answer.HasField("caption"):
        print_caption(answer.caption)
    if answer.HasField("error"):
        if not as_json:
            print_failures(Console(stderr=True), [(provider, from_status(answer.error))])
        raise typer.Exit(1)


def _prices(given: common_pb2.Money, told: common_pb2.Money) -> str:
    return f"{price(given)} for a million tokens of prompts, {price(told)} of answers"
