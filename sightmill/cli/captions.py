"""`sightmill captions`: words for an image, and what words cost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sightmill.cli.amounts import price, span
from sightmill.cli.caption_tables import budget_table, usage_notes, usage_table
from sightmill.cli.catalog_options import (
    ADDRESS,
    TIMEOUT_S,
    Address,
    AsJsonLines,
    Limit,
    Timeout,
    as_document,
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
_NO_RATE = "not known, no rate limit is set or learnt"
captions = command_group(_ABOUT)


@captions.command()
def ask(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", exists=True, dir_okay=False, help="The image.")],
    provider: Annotated[
        str,
        typer.Option(
            *("--provider", "-p"),
            metavar="PROVIDER",
            help="Ask this one alone, of those that `sightmill providers ls` shows.",
            show_default=False,
        ),
    ] = "",
    language: Annotated[
        str, typer.Option(metavar="TAG", help="Language of the answer: en, de, pt-BR, ...")
    ] = "en",
    prompt: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Instruction in place of the built-in one.", show_default=False),
    ] = "",
    again: Annotated[bool, typer.Option("--again", help="Ask although an answer is cached.")] = False,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = 120.0,
) -> None:
    """Describe one image without storing it.

    Providers are asked in the order of the chain until one answers; when no model does, the image is
    described from measurements. It may cost a little.

    \b
    sightmill captions ask photo.jpg --language de
    sightmill captions ask photo.jpg --provider openai --again
    sightmill captions ask photo.jpg --prompt "Which plants are these?"
    """
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
    images: Annotated[int, typer.Argument(metavar="COUNT", min=1, max=100_000_000, help="How many images.")],
    provider: Annotated[
        str,
        typer.Option(
            *("--provider", "-p"),
            metavar="PROVIDER",
            help="Who describes them; else the first of the chain that can be asked.",
            show_default=False,
        ),
    ] = "",
    low: Annotated[bool, typer.Option("--low", help="For pictures of 768 pixels instead of 1024.")] = False,
    as_json: AsJson = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Say what describing so many images costs at most.

    Nothing is sent to a provider. The exit status is 1 when it would go over a budget.

    \b
    sightmill captions estimate 100000
    sightmill captions estimate 100000 --provider openai --low
    """
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
    days: Annotated[
        int, typer.Option(metavar="DAYS", min=1, max=_MOST_DAYS, help="How many days, today included.")
    ] = 30,
    by_batch: Annotated[bool, typer.Option("--by-batch", help="A row for each batch.")] = False,
    batch: Annotated[
        str, typer.Option("--batch", metavar="BATCH", help="Only of this batch.", show_default=False)
    ] = "",
    limit: Limit = 100,
    as_json: AsJsonLines = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Report what was spent, by day (UTC) and provider.

    \b
    sightmill captions usage --days 7
    sightmill captions usage --by-batch
    sightmill captions usage --json --limit 1000000 > spent.ndjson
    """
    named = full_name("batches", batch) if batch else ""

    async def work(client: Client) -> list[captioner_pb2.CaptionUsage]:
        rows = client.caption_usage(
            days=_last_days(days), by_batch=by_batch, batch=named, page_size=min(limit + 1, 1_000)
        )
        return await take(rows, limit, print_document if as_json else None)

    found = run(work, address, timeout_s, "usage")
    if found and not as_json:
        console = Console()
        console.print(usage_table(found, by_batch=by_batch or bool(batch)))
        console.print()
        print_facts(console, usage_notes(found))
    elif not as_json:
        typer.echo("Nothing was spent in these days.")


def print_caption(caption: captioner_pb2.Caption) -> None:
    """Shows a caption, who said it and what it cost."""
    tokens = f"{caption.usage.input_tokens:,} in, {caption.usage.output_tokens:,} out"
    facts = (
        ("Caption", clean(caption.text)),
        ("Tags", clean(", ".join(caption.tags))),
        ("Objects", clean(", ".join(caption.objects))),
        ("Besides", clean(_besides(caption))),
        ("Said by", clean(f"{caption.provider}, {caption.model}") + (" (cached)" if caption.cached else "")),
        ("Less than asked", clean(caption.degraded_reason)),
        *((f"Not {clean(each.provider)}", clean(each.message)) for each in _other_attempts(caption)),
        ("Tokens", tokens if caption.usage.input_tokens or caption.usage.output_tokens else ""),
        ("Cost", _cost(caption)),
        ("Time", span(caption.elapsed) if caption.HasField("elapsed") else ""),
    )
    print_facts(Console(), facts)


def _besides(caption: captioner_pb2.Caption) -> str:
    answers = as_document(caption.attributes)
    return json.dumps(answers, ensure_ascii=False) if answers else ""


def _other_attempts(caption: captioner_pb2.Caption) -> list[captioner_pb2.ProviderAttempt]:
    # The reason tells of the others already.
    return [each for each in caption.attempts if each.message not in caption.degraded_reason]


def _cost(caption: captioner_pb2.Caption) -> str:
    if caption.usage.HasField("cost"):
        return price(caption.usage.cost)
    if caption.cached:
        return "none"
    asked = caption.parse_mode != captioner_pb2.PARSE_MODE_UNSPECIFIED
    return "not known" if asked else "none, no model was asked"


def _print_estimate(found: captioner_pb2.EstimateCaptionsResponse) -> None:
    console = Console()
    tokens = f"{found.usage.input_tokens:,} in, {found.usage.output_tokens:,} out"
    facts = (
        ("Provider", clean(f"{found.provider}, {found.model}")),
        ("Cost, at most", price(found.cost) if found.HasField("cost") else "price of the model not known"),
        ("Tokens, at most", tokens if found.usage.input_tokens or found.usage.output_tokens else ""),
        ("Time, about", span(found.duration) if found.HasField("duration") else _NO_RATE),
        ("Over budget", "yes, it takes more than one of the budgets has left" if found.over_budget else ""),
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
