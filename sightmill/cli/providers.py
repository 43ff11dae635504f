"""`sightmill providers`: who describes images, how they are, and what they may cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sightmill.cli.amounts import price
from sightmill.cli.caption_tables import budget_table, lane_notes, lane_table, provider_table, state_text
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
from sightmill.cli.tables import moment, print_facts
from sightmill.client import Client
from sightmill.errors import from_status
from sightmill.results import clean, print_failures
from sightmill.v1 import captioner_pb2

_ABOUT = """Who describes images, how they are, and what they may cost.

\b
The chain, in order:       sightmill providers ls
Limits, prices, budgets:   sightmill providers show mistral
Does it work?              sightmill providers test mistral photo.jpg
"""
providers = command_group(_ABOUT)
Which = Annotated[str, typer.Argument(metavar="PROVIDER", help="As `sightmill providers ls` shows it.")]


@providers.command()
def ls(as_json: AsJson = False, address: Address = ADDRESS, timeout_s: Timeout = TIMEOUT_S) -> None:
    """List the chain of providers, in the order in which they are asked.

    Shown are the calls in flight, the calls that wait for their turn, and what was spent today (UTC);
    below, what is wrong and what to do.
    """
    found = run(Client.list_providers, address, timeout_s, "ls")
    if as_json:
        print_document(found)
        return
    if not found.providers:
        typer.echo("No provider is in the chain.")
        return
    console = Console()
    console.print(provider_table(found.providers))
    _print_below(console, [(clean(each.id), clean(each.message)) for each in found.providers])


@providers.command()
def show(
    provider: Which, as_json: AsJson = False, address: Address = ADDRESS, timeout_s: Timeout = TIMEOUT_S
) -> None:
    """Show a provider: its price, its lanes, its budgets.

    Each key or address is a lane of its own: with calls in flight, a breaker, and requests and tokens of
    the last minute beside the limits that are known.
    """
    listed = run(Client.list_providers, address, timeout_s, provider).providers
    found = next((each for each in listed if each.id == provider), None)
    if found is None:
        known = clean(", ".join(each.id for each in listed)) or "none"
        text = f"{clean(provider)}: not in the chain; there are: {known}"
        typer.secho(text, fg=typer.colors.RED, err=True)
        raise typer.Exit(1)
    if as_json:
        print_document(found)
        return
    console = Console()
    print_facts(console, _facts(found))
    for table in (lane_table(found.lanes), budget_table(found.budgets)):
        if table.row_count:
            console.print()
            console.print(table)
    _print_below(console, lane_notes(found.lanes))


@providers.command("test")
def try_out(
    provider: Which,
    photo: Annotated[
        Path, typer.Argument(metavar="PHOTO", exists=True, dir_okay=False, help="The image to send.")
    ],
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = 120.0,
) -> None:
    """Send one image to one provider, past chain and cache.

    It may cost a little. The exit status is 1 when the provider does not answer.
    """
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


def _facts(provider: captioner_pb2.Provider) -> list[tuple[str, str]]:
    since = moment(provider.state_time)
    facts = [
        ("Provider", clean(provider.id)),
        ("Model", clean(provider.model)),
        ("State", f"{state_text(provider.state)}{f' since {since}' if since else ''}"),
        ("What to do", clean(provider.message)),
    ]
    # Without a lane nobody is asked, and nothing can be spent.
    if not provider.lanes:
        return facts
    has_price = provider.HasField("input_price") and provider.HasField("output_price")
    prices = f"{price(provider.input_price)} of prompts, {price(provider.output_price)} of answers"
    return [
        *facts,
        ("A million tokens", prices if has_price else "price not known"),
        ("Spent today", price(provider.spent_today) if provider.HasField("spent_today") else "not known"),
        ("This month", price(provider.spent_month) if provider.HasField("spent_month") else "not known"),
    ]


def _print_below(console: Console, notes: list[tuple[str, str]]) -> None:
    if any(said for _, said in notes):
        console.print()
        print_facts(console, notes)
