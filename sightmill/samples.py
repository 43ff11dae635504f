"""Photos to try it with: real ones under free licences that come with two Python packages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path

from sightmill.client import Client
from sightmill.photo import Photo
from sightmill.results import print_results
from sightmill.v1 import catalog_pb2

__all__ = ["feed_samples", "print_results", "sample_photos"]

# Package, folder in it, files: a face, a still life, an animal, printed text, a launch, a place, a flower.
_WANTED = (
    ("skimage", "data", ("astronaut.png", "coffee.png", "chelsea.png", "page.png", "rocket.jpg")),
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
)


def sample_photos() -> list[Path]:
    """The sample photos on this machine; fewer, or none, where scikit-image or scikit-learn is missing.

    The packages are found, not imported: importing them takes seconds.
    """
    found: list[Path] = []
    for package, folder, names in _WANTED:
        spec = find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            found += [path for name in names if (path := Path(root, folder, name)).is_file()]
    return found


async def feed_samples(
    address: str, photos: Iterable[Path], timeout_s: float = 120
) -> list[catalog_pb2.Image]:
    """Uploads photos and returns them when they are done, in the order given, labelled ``source: sample``.

    Raises:
        SightmillError: a photo was refused, or is not done within ``timeout_s`` seconds.
    """
    async with Client(address) as client:
        named = [Photo(path, labels={"source": "sample"}) for path in photos]
        async with aclosing(client.upload(named)) as results:
            sent = {result.index: result.unwrap().name async for result in results}
        waits = [client.wait(sent[index], timeout_s) for index in sorted(sent)]
        return list(await asyncio.gather(*waits))
