"""One suite for all stories that leave it as they found it; those that kill or stop start their own."""

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


@pytest.fixture
def fresh_suite(tmp_path: Path) -> Iterator[Suite]:
    """A suite of its own, for a test that breaks it."""
    with running_suite(tmp_path) as running:
        yield running
        for name, text in {"logs": running.logs()}.items():
            print(name, text)  # noqa: T201  pytest shows it when the test fails


@pytest.fixture(scope="session")
def photo_paths() -> dict[str, Path]:
    """Real photos by name, from wheels."""
    return {path.name: path for path in sources()}


@pytest.fixture(scope="session")
def many_photos() -> list[bytes]:
    """Two hundred distinct photos."""
    return small_photos(200)
