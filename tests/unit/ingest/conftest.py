"""The decoders as ingest sets them up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image

from services.ingest.guard import Limits, prepare


@pytest.fixture(scope="session")
def limits() -> Limits:
    """The operator's defaults."""
    return Limits(max_pixels=50_000_000, max_total_pixels=200_000_000)


@pytest.fixture(autouse=True)
def prepared(limits: Limits) -> Iterator[None]:
    before = Image.MAX_IMAGE_PIXELS
    prepare(limits)
    yield
    Image.MAX_IMAGE_PIXELS = before
