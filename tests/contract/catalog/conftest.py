"""Stores to test, each empty and each closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.catalog.store import CatalogStore
from tests.contract.catalog.adapters import ADAPTERS, Clock, OpenStore


@pytest.fixture(params=sorted(ADAPTERS))
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Opens the store under test in a folder."""
    return ADAPTERS[request.param]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(open_store: OpenStore, tmp_path: Path, clock: Clock) -> AsyncIterator[CatalogStore]:
    async with open_store(tmp_path, clock) as opened:
        yield opened
