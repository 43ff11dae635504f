"""`sightmill captions`: words for an image, and what words cost."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sightmill.cli.caption_tables import budget_table, price, usage_table
from sightmill.cli.catalog_options import (
    ADDRESS,
    TIMEOUT_S,
    Address,
    AsJsonLines,
    Timeout,
    command_group,
    full_name,
    print_document,
    run,
    take,
)
from sightmill.cli.options import AsJson
from sightmill.cli.tables import print_facts
from sightmill.client import Client
from sightmill.results import clean
from sightmill.v1 import captioner_pb2, common_pb2

_ABOUT = """Words for images, and what they cost.

\b
Words for one photo:       sightmill captions ask photo.jpg --language de
What would these cost?     sightmill captions estimate 100000
What did it cost so far?   sightmill captions usage --days 7
"""
_MOST_DAYS = 3_660
captions = command_group(_ABOUT)
Provider = Annotated[
    str, typer.Option("--provider", "-p", metavar="PROVIDER", help="Only this one.", show_default=False)
]


@captions.command()
def ask(
    photo: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The image.")],
    provider: Provider = "",
    language: Annotated[str, typer.Option(help="Language of the answer: en, de, pt-BR, ...")] = "en",
    prompt: Annotated[
        str, typer.Option(help="Instruction in place of the built-in one.", show_default=False)
    ] = "",
    again: Annotated[bool, typer.Option("--again", help="Ask although an answer is cached.")] = False,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = 120.0,
) -> None:
    """Describe one image without storing it."""
    options = captioner_pb2.CaptionOptions(
        providers=[provider] if provider else [],
        language=language,
        prompt=prompt,
        skip_cache=again,
    )
    content = photo.read_bytes()
    caption = run(lambda client: client.caption(content, options), address, timeout_s, photo.name)
    if as_json:
        print_document(caption)
    else:
        print_caption(caption)


@captions.command()
def estimate(
    images: Annotated[int, typer.Argument(min=1, max=100_000_000, help="How many images.")],
    provider: Provider = "",
    low: Annotated[bool, typer.Option("--low", help="For pictures of 768 pixels instead of 1024.")] = False,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Say what describing so many images costs at most. Nothing is sent; exits with 1 when over budget."""
    detail = captioner_pb2.CAPTION_DETAIL_LOW if low else captioner_pb2.CAPTION_DETAIL_UNSPECIFIED
    options = captioner_pb2.CaptionOptions(detail=detail)
    found = run(
        lambda client: client.estimate_captions(images, provider, options), address, timeout_s, "estimate"
    )
    if as_json:
        print_document(found)
    else:
        _print_estimate(found)
    if found.over_budget:
        raise typer.Exit(1)


@captions.command()
def usage(
    days: Annotated[int, typer.Option(min=1, max=_MOST_DAYS, help="How many days back.")] = 30,
    by_batch: Annotated[bool, typer.Option("--by-batch", help="A row for each batch.")] = False,
    batch: Annotated[
        str, typer.Option("--batch", metavar="BATCH", help="Only of this batch.", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="Most to show.")] = 100,
    as_json: AsJsonLines = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Report what was spent, by day (UTC) and provider."""
    named = full_name("batches", batch) if batch else ""

    async def work(client: Client) -> list[captioner_pb2.CaptionUsage]:
        rows = client.caption_usage(
            days=_last_days(days), by_batch=by_batch, batch=named, page_size=min(limit + 1, 1_000)
        )
        return await take(rows, limit, print_document if as_json else None)

    found = run(work, address, timeout_s, "usage")
    if found and not as_json:
        Console().print(usage_table(found, by_batch=by_batch or bool(batch)))
    elif not as_json:
        typer.echo("Nothing was spent in these days.")


def print_caption(caption: captioner_pb2.Caption) -> None:
    """Shows a caption, who said it and what it cost."""
    cost = price(caption.usage.cost) if caption.usage.HasField("cost") else "not known"
    tokens = f"{caption.usage.input_tokens:,} in, {caption.usage.output_tokens:,} out"
    facts = (
        ("Caption", clean(caption.text)),
        ("Tags", clean(", ".join(caption.tags))),
        ("Objects", clean(", ".join(caption.objects))),
        ("Said by", clean(f"{caption.provider}, {caption.model}") + (" (cached)" if caption.cached else "")),
        ("Less than asked", clean(caption.degraded_reason)),
        ("Tokens", tokens if caption.usage.input_tokens else ""),
        ("Cost", cost),
        ("Time", f"{caption.elapsed.ToTimedelta().total_seconds():.2f} s"),
        *((f"Not {each.provider}", clean(each.message)) for each in caption.attempts),
    )
    print_facts(Console(), facts)


def _print_estimate(found: captioner_pb2.EstimateCaptionsResponse) -> None:
    console = Console()
    duration = str(found.duration.ToTimedelta()) if found.HasField("duration") else "limit not known yet"
    facts = (
        ("Provider", clean(f"{found.provider}, {found.model}")),
        ("Cost, at most", price(found.cost) if found.HasField("cost") else "price of the model not known"),
        ("Tokens", f"{found.usage.input_tokens:,} in, {found.usage.output_tokens:,} out"),
        ("Time", duration),
        ("Over budget", "yes" if found.over_budget else ""),
    )
    print_facts(console, facts)
    if found.budgets:
        console.print()
        console.print(budget_table(found.budgets))


def _last_days(days: int) -> common_pb2.TimeRange:
    today = datetime.combine(datetime.now(UTC).date(), time(), UTC)
    span = common_pb2.TimeRange()
    span.start_time.FromDatetime(today - timedelta(days=days - 1))
    span.end_time.FromDatetime(today + timedelta(days=1))
    return span
