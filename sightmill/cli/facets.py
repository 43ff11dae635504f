"""`sightmill facets`: the values of a field and how frequent they are."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from sightmill.cli.catalog_options import (
    ADDRESS,
    TIMEOUT_S,
    Address,
    AsJsonLines,
    Limit,
    Timeout,
    print_document,
    run,
    take,
)
from sightmill.cli.tables import count_table
from sightmill.client import Client
from sightmill.v1 import common_pb2

_FIELDS = (
    "state, format, tag, scene, camera, provider, blur_level, face_count, has_text, batch, label, analysis"
)


def facets(
    field: Annotated[str, typer.Argument(help=f"One of {_FIELDS}.")],
    batch: Annotated[
        str, typer.Option("--batch", metavar="BATCH", help="Only of this batch.", show_default=False)
    ] = "",
    limit: Limit = 20,
    as_json: AsJsonLines = False,
    address: Address = ADDRESS,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Count the values of a field, most frequent first.

    \b
    sightmill facets tag
    sightmill facets camera --limit 5
    """

    async def work(client: Client) -> list[common_pb2.Count]:
        counts = client.facets(field, batch=batch, page_size=min(limit + 1, 1_000))
        return await take(counts, limit, print_document if as_json else None)

    found = run(work, address, timeout_s, field)
    if found and not as_json:
        Console().print(count_table(field, found))
    elif not as_json:
        typer.echo(f"No image has a {field}.")
