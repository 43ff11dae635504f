"""Every test here runs against both rooms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image

from tests.contract.hostile.rooms import Room, open_analyzer, open_guard


@pytest.fixture(scope="module", params=[open_guard, open_analyzer], ids=["guard", "analyzer"])
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    before = Image.MAX_IMAGE_PIXELS
    opened: Room = request.param()
    yield opened
    opened.children.close()
    Image.MAX_IMAGE_PIXELS = before
