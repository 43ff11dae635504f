"""Settings of the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.catalog.settings import CatalogSettings


def read_settings() -> CatalogSettings:
    nothing_given: dict[str, Any] = {}
    return CatalogSettings(**nothing_given)


def test_the_database_lies_in_the_data_folder_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTMILL_DATA_DIR", "/data")
    assert read_settings().sqlite.path == Path("/data/catalog/catalog.sqlite3")
    monkeypatch.setenv("SIGHTMILL_CATALOG_DATABASE", "/elsewhere/my.sqlite3")
    assert read_settings().sqlite.path == Path("/elsewhere/my.sqlite3")


def test_bounds_reach_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("readers", "max_waiting", "max_group", "read_timeout_s", "write_timeout_s", "max_bytes"):
        monkeypatch.setenv(f"SIGHTMILL_CATALOG_{name.upper()}", "7")
        assert getattr(read_settings().sqlite, name) == 7


def test_a_bound_of_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTMILL_CATALOG_MAX_WAITING", "0")
    with pytest.raises(ValidationError):
        read_settings()
