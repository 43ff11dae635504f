"""What a catalog acknowledged outlives `kill -9` of it, and of its server, at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.catalog.kill_rounds import mongo_kill_rounds, sqlite_kill_rounds


@pytest.mark.timeout(300)
async def test_an_embedded_catalog_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    report = await sqlite_kill_rounds(tmp_path, rounds=4)
    assert report.problems == []
    assert report.acknowledged > 100


@pytest.mark.timeout(300)
async def test_a_catalog_on_mongodb_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    report = await mongo_kill_rounds(tmp_path, rounds=2)
    assert report.problems == []
    assert report.acknowledged > 50
