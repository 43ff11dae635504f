"""One suite for all stories. They may kill its processes: it heals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.photos import small_photos, sources
from tests.servers.suite import Suite, running_suite


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A running suite with an empty catalog at first."""
    with running_suite(tmp_path_factory.mktemp("suite")) as running:
        yield running


@pytest.fixture(scope="session")
def photo_paths() -> dict[str, Path]:
    """Real photos by name, from wheels."""
    return {path.name: path for path in sources()}


@pytest.fixture(scope="session")
def many_photos() -> list[bytes]:
    """Two hundred distinct photos."""
    return small_photos(200)


@pytest.fixture(scope="session")
def many_small_photos() -> list[bytes]:
    """The same, a fifth as large either way: what is tested is not how fast they are analysed."""
    return small_photos(200, scale=0.2)
