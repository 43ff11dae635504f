"""`sightmill images`: look at what is stored, find it, clear it out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from sightmill.cli.catalog_options import (
    ADDRESS,
    TIMEOUT_S,
    Address,
    AsJsonLines,
    Filter,
    Limit,
    Timeout,
    Yes,
    command_group,
    full_name,
    print_document,
    run,
    take,
)
from sightmill.cli.tables import group_table, hit_table, image_table, moment, print_facts, similar_table
from sightmill.client import Client
from sightmill.errors import SightmillError
from sightmill.results import clean, print_failures, print_results
from sightmill.v1 import catalog_pb2

_DELETES_AT_ONCE = 16
_ABOUT = """Look at what is stored, find it, clear it out.

\b
The newest:               sightmill images ls
Those that failed:        sightmill images ls --filter 'state = FAILED'
With these words:         sightmill images search 'boat "old harbour"'
Everything about one:     sightmill images show 12
Copies, all but the best: sightmill images dupes --rm
"""
images = command_group(_ABOUT)
Image = Annotated[str, typer.Argument(metavar="IMAGE", help="Its number, its UUID, or images/....")]


class Measure(StrEnum):
    """What "similar" means."""

    LOOK = "look"
    COLOR = "color"


@images.command()
def ls(
    condition: Filter = "",
    order_by: Annotated[
        str, typer.Option("--order-by", help="create_time, size_bytes or quality_score, and desc.")
    ] = "create_time desc",
    deleted: Annotated[bool, typer.Option("--deleted", help="Soft-deleted ones, too.")] = False,
    limit: Limit = 50,
    as_json: AsJsonLines = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """List images, newest first.

    \b
    sightmill images ls --filter 'width > 4000 AND tag = "boat"' --order-by 'size_bytes desc'
    sightmill images ls --filter 'labels.album = "sea"' --json | jq -r .name
    """

    async def work(client: Client) -> list[catalog_pb2.Image]:
        listed = client.list_images(
            filter=condition, order_by=order_by, show_deleted=deleted, page_size=min(limit + 1, 1_000)
        )
        return await take(listed, limit, print_document if as_json else None)

    found = run(work, address, timeout_s, "ls")
    if not as_json:
        _print_or_say(found, "No image meets the condition." if condition else "There are no images yet.")


@images.command()
def show(
    image: Image,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Show everything that is known of an image."""
    name = full_name("images", image)
    found = run(lambda client: client.get_image(name), address, timeout_s, name)
    if as_json:
        print_document(found)
        return
    console = Console()
    said = found.corrections
    print_facts(
        console,
        (
            ("Image", f"{found.name} (number {found.number})"),
            ("File", clean(found.display_name)),
            ("State", catalog_pb2.Image.State.Name(found.state).lower()),
            ("Title", clean(said.title)),
            ("Tags", clean(", ".join(_tags(found)))),
            ("Labels", clean(", ".join(f"{key}={value}" for key, value in sorted(found.labels.items())))),
            ("Batch", found.batch),
            ("SHA-256", found.sha256),
            ("Stored", moment(found.create_time)),
            ("Finished", moment(found.process_time)),
        ),
    )
    print_results(console, [found])


@images.command()
def rm(
    names: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Numbers, UUIDs or names.")],
    force: Annotated[
        bool, typer.Option("--force", help="For good, at once; else they can be taken back for a while.")
    ] = False,
    yes: Yes = False,
    as_json: AsJsonLines = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Delete images; softly unless --force is given.

    \b
    sightmill images rm 12 13
    sightmill images ls --filter 'state = FAILED' --json | jq -r .name | xargs sightmill images rm --yes
    """
    wanted = list(dict.fromkeys(full_name("images", name) for name in names))
    how = "for good" if force else "softly"
    if not yes:
        typer.confirm(f"Delete {_count(len(wanted))} {how}?", abort=True, err=True)
    _delete(wanted, address, timeout_s, force=force, as_json=as_json)


@images.command()
def search(
    text: Annotated[str, typer.Argument(help='Words, all of which must occur; "a phrase"; begin*.')],
    condition: Filter = "",
    limit: Limit = 20,
    as_json: AsJsonLines = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Find images by words in names, tags, captions, objects and the text in the picture.

    \b
    sightmill images search 'harbour boat*'
    sightmill images search '"no parking"' --filter 'create_time > "2026-01-01T00:00:00Z"'
    """

    async def work(client: Client) -> list[catalog_pb2.SearchHit]:
        hits = client.search_images(text, filter=condition, page_size=min(limit + 1, 1_000))
        return await take(hits, limit, print_document if as_json else None)

    found = run(work, address, timeout_s, "search")
    if not as_json:
        if found:
            Console().print(hit_table(found))
        else:
            typer.echo(
                "Nothing found. All words must occur: try fewer, or the beginning of one, as in boat*."
            )


@images.command()
def similar(
    image: Image,
    max_distance: Annotated[
        int, typer.Option("--max-distance", min=0, max=32, help="How far apart they may be.")
    ] = 8,
    measure: Annotated[Measure, typer.Option("--by", help="How they look, or what colours are where.")] = (
        Measure.LOOK
    ),
    limit: Limit = 20,
    as_json: AsJsonLines = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Find images that look like one, nearest first."""
    name = full_name("images", image)
    kind = (
        catalog_pb2.SIMILARITY_MEASURE_LOOK
        if measure is Measure.LOOK
        else catalog_pb2.SIMILARITY_MEASURE_COLOR
    )

    async def work(client: Client) -> list[catalog_pb2.SimilarImage]:
        near = client.similar_images(
            name, max_distance=max_distance, measure=kind, page_size=min(limit + 1, 1_000)
        )
        return await take(near, limit, print_document if as_json else None)

    found = run(work, address, timeout_s, name)
    if not as_json:
        if found:
            Console().print(similar_table(found))
        else:
            typer.echo(f"Nothing within a distance of {max_distance}. Try a larger --max-distance.")


@images.command()
def dupes(
    max_distance: Annotated[
        int, typer.Option("--max-distance", min=0, max=14, help="0: the same bytes; 10: copies; 14: most.")
    ] = 0,
    rm: Annotated[bool, typer.Option("--rm", help="Delete all but the one to keep, softly.")] = False,
    yes: Yes = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="Most groups.")] = 50,
    as_json: AsJsonLines = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Show groups of duplicates, and which of each to keep.

    \b
    sightmill images dupes                       the same bytes
    sightmill images dupes --max-distance 10     resized and recompressed copies, too
    sightmill images dupes --rm                  asks, then deletes all but those to keep
    """

    async def work(client: Client) -> list[catalog_pb2.DuplicateGroup]:
        groups = client.list_duplicates(max_distance, page_size=min(limit + 1, 1_000))
        return await take(groups, limit, print_document if as_json and not rm else None)

    found = run(work, address, timeout_s, "dupes")
    console = Console(stderr=as_json)
    if not found and not as_json:
        typer.echo("No duplicates.")
    if not as_json or (rm and not yes):
        _print_groups(console, found)
    surplus = [
        image.name for group in found for image in group.images if image.name != group.suggested_keeper
    ]
    if rm and surplus:
        if not yes:
            typer.confirm(
                f"Delete {_count(len(surplus))} softly, and keep {len(found)}?", abort=True, err=True
            )
        _delete(surplus, address, timeout_s, force=False, as_json=as_json)


def _tags(image: catalog_pb2.Image) -> list[str]:
    """Added and computed tags, each once, without the removed ones."""
    said = image.corrections
    removed = {tag.lower() for tag in said.removed_tags}
    tags = dict.fromkeys(tag.lower() for tag in (*said.added_tags, *image.caption.tags))
    return [tag for tag in tags if tag not in removed]


def _print_groups(console: Console, groups: Sequence[catalog_pb2.DuplicateGroup]) -> None:
    for group in groups:
        console.print(group_table(group))
        console.print(f"{clean(group.reason)}\n", style="dim", markup=False, highlight=False)


def _delete(names: Sequence[str], address: str, timeout_s: float, *, force: bool, as_json: bool) -> None:
    """Deletes images, goes on after failures, and says what became of them."""

    async def work(client: Client) -> list[tuple[str, SightmillError]]:
        places = asyncio.Semaphore(_DELETES_AT_ONCE)
        failures: list[tuple[str, SightmillError]] = []

        async def delete(name: str) -> None:
            try:
                async with places:
                    await client.delete_image(name, force=force)
            except SightmillError as error:
                failures.append((name, error))

        await asyncio.gather(*map(delete, names))
        return failures

    failures = dict(run(work, address, timeout_s, "rm"))
    deleted = [name for name in names if name not in failures]
    if as_json:
        for name in names:
            error = failures.get(name)
            reason = {"error": {"reason": error.reason, "message": error.message}} if error else {}
            typer.echo(json.dumps({"name": name, "deleted": error is None, **reason}, ensure_ascii=False))
    elif deleted:
        back = "" if force else " They can be taken back until the retention time is over."
        typer.echo(f"Deleted {_count(len(deleted))}.{back}")
    if failures:
        if not as_json:
            print_failures(Console(stderr=True), failures.items())
        raise typer.Exit(1)


def _print_or_say(found: Sequence[catalog_pb2.Image], otherwise: str) -> None:
    if found:
        Console().print(image_table(found))
    else:
        typer.echo(otherwise)


def _count(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"
