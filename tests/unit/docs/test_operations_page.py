"""docs/operations.md knows every setting of every process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.settings import GatewaySettings
from services.analyzer.settings import AnalyzerSettings
from services.captioner.settings import CaptionerSettings
from services.catalog.settings import CatalogSettings
from services.ingest.settings import IngestSettings
from services.runtime.settings import PREFIX, RuntimeSettings

PAGE = (Path(__file__).parents[3] / "docs/operations.md").read_text()
DOCUMENTED = set(re.findall(r"^\| `(SIGHTMILL_[A-Z0-9_]+)` \|", PAGE, re.MULTILINE))
PROCESSES: list[type[RuntimeSettings]] = [
    IngestSettings,
    AnalyzerSettings,
    CaptionerSettings,
    CatalogSettings,
    GatewaySettings,
]


@pytest.mark.parametrize("settings", PROCESSES)
def test_every_setting_is_documented(settings: type[RuntimeSettings]) -> None:
    assert {PREFIX + name.upper() for name in settings.model_fields} - DOCUMENTED == set()
