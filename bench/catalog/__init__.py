"""The catalog at a million images: how fast it reads, writes, searches and exports, and what survives.

``BENCH_CATALOG_IMAGES`` sets another number of images, for a quick look; the goals are for a million.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from bench.catalog import exports, fill, mongo, reads, service
from bench.figures import Figure, Figures

IMAGES = int(os.environ.get("BENCH_CATALOG_IMAGES", "1000000"))


def run() -> Figures:
    """All figures; takes about a quarter of an hour."""
    folder = Path(tempfile.mkdtemp(prefix="bench-catalog-"))
    try:
        figures: dict[str, Figure] = {}
        database = folder / "catalog" / "catalog.sqlite3"
        figures |= fill.run(database, IMAGES)
        figures |= reads.run(database, IMAGES)
        with service.started(folder) as running:
            figures |= service.run(running, IMAGES)
            figures |= exports.run(running, database, IMAGES)
            figures |= service.memory(running)
        figures |= mongo.run()
        return figures
    finally:
        shutil.rmtree(folder, ignore_errors=True)
