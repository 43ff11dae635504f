"""`sightmill samples`: a few real photos, to see what comes out."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from sightmill.client import DEFAULT_ADDRESS
from sightmill.errors import SightmillError
from sightmill.samples import feed_samples, print_results, sample_photos

_TIMEOUT_S = 180.0


def samples(
    address: Annotated[
        str, typer.Option(envvar="SIGHTMILL_ADDRESS", help="Where Sightmill listens, as host:port.")
    ] = DEFAULT_ADDRESS,
) -> None:
    """Feed sample photos and show the results.

    They come with the packages scikit-image and scikit-learn, under free licences.
    """
    photos = sample_photos()
    if not photos:
        typer.echo(
            "No sample photos at hand: they come with scikit-image and scikit-learn (pip install them)."
        )
        return
    typer.echo(f"Looking at {len(photos)} sample photos ...")
    try:
        images = asyncio.run(feed_samples(address, photos, _TIMEOUT_S))
    except SightmillError as error:
        typer.secho(f"The samples did not go through: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from None
    print_results(Console(), images)
