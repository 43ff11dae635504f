"""`sightmill stats`: how much there is."""

from __future__ import annotations

from rich.console import Console
from rich.filesize import decimal

from sightmill.cli.catalog_options import (
    ADDRESS,
    TIMEOUT_S,
    Address,
    Timeout,
    print_document,
    run,
)
from sightmill.cli.options import AsJson
from sightmill.cli.tables import count_table, print_facts
from sightmill.client import Client


def stats(as_json: AsJson = False, address: Address = ADDRESS, timeout_s: Timeout = TIMEOUT_S) -> None:
    """Show how much there is: images, bytes, analyses."""
    found = run(Client.stats, address, timeout_s, "stats")
    if as_json:
        print_document(found)
        return
    console = Console()
    facts = (
        ("Images", f"{found.image_count:,}"),
        ("Distinct files", f"{found.blob_count:,}, {decimal(found.blob_bytes)}"),
        ("Analyses", f"{found.analysis_count:,}"),
        ("Store", found.store),
    )
    print_facts(console, facts)
    for heading, counts in (("State", found.states), ("Format", found.formats)):
        if counts:
            console.print()
            console.print(count_table(heading, counts))
