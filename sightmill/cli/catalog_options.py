"""Options that the commands of the catalog share, and how they run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console

from sightmill.client import DEFAULT_ADDRESS, Client
from sightmill.errors import SightmillError
from sightmill.results import print_failures

T = TypeVar("T")

Address = Annotated[
    str, typer.Option("--address", envvar="SIGHTMILL_ADDRESS", help="Where Sightmill listens, as host:port.")
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=1, max=3600, metavar="SECONDS", help="Longest wait for an answer."),
]
AsJsonLines = Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line.")]
Filter = Annotated[
    str,
    typer.Option(
        "--filter",
        metavar="CONDITION",
        help="Only these, for example: 'state = FAILED AND create_time > \"2026-01-01T00:00:00Z\"'",
        show_default=False,
    ),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="Most to show.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

ADDRESS = DEFAULT_ADDRESS
TIMEOUT_S = 30.0


def command_group(about: str) -> typer.Typer:
    """A command with commands of its own."""
    return typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)


def run(work: Callable[[Client], Awaitable[T]], address: str, timeout_s: float, what: str) -> T:
    """What ``work`` gives with an open client; an error is shown, and ends the program with 1.

    ``what`` says what the error is about.
    """

    async def connected() -> T:
        async with Client(address, timeout_s) as client:
            return await work(client)

    try:
        return asyncio.run(connected())
    except SightmillError as error:
        print_failures(Console(stderr=True), [(what, error)])
        raise typer.Exit(1) from None


async def take(items: AsyncIterator[T], limit: int, see: Callable[[T], None] | None = None) -> list[T]:
    """The first items, each seen as it comes; says on stderr when there are more."""
    taken: list[T] = []
    async for item in items:
        if len(taken) == limit:
            typer.echo(f"There are more: --limit is {limit}.", err=True)
            break
        taken.append(item)
        if see is not None:
            see(item)
    return taken


def as_document(message: Message) -> dict[str, Any]:
    """A message as JSON, with the names of the contract."""
    document: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return document


def print_document(message: Message) -> None:
    """Prints a message as one line of JSON."""
    typer.echo(json.dumps(as_document(message), ensure_ascii=False))


def full_name(kind: str, name: str) -> str:
    """``images/12`` for 12 and for images/12."""
    return name if name.startswith(f"{kind}/") else f"{kind}/{name}"
