"""Keys and chain as an operator sets them; nothing shows a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.captioner.settings import CaptionerSettings, chosen_key
from services.runtime.settings import explain, show

KEY = "sk-verysecret123"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MISTRAL_API_KEY", "OPENAI_API_KEY", "OPENAI_VISION_MODEL", "BLIP_SERVICE_URL"):
        monkeypatch.delenv(name, raising=False)


def read_settings(**given: Any) -> CaptionerSettings:
    return CaptionerSettings(**given)


def mistral_key(settings: CaptionerSettings) -> str:
    return chosen_key(settings.captioner_mistral_api_key, settings.captioner_mistral_api_key_file)


@pytest.mark.parametrize("name", ["MISTRAL_API_KEY", "SIGHTMILL_CAPTIONER_MISTRAL_API_KEY"])
def test_a_key_comes_by_either_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, KEY)

    assert mistral_key(read_settings()) == KEY


@pytest.mark.parametrize("name", ["MISTRAL_API_KEY_FILE", "SIGHTMILL_CAPTIONER_MISTRAL_API_KEY_FILE"])
def test_a_key_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv(name, str(tmp_path / "key"))

    assert mistral_key(read_settings()) == KEY


def test_the_seeds_names_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_VISION_MODEL", "gpt-x")
    monkeypatch.setenv("BLIP_BASE_URL", "http://localhost:8001/")
    settings = read_settings()

    assert settings.captioner_openai_model == "gpt-x"
    assert settings.captioner_blip_url == "http://localhost:8001"


def test_the_chain_is_read_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTMILL_CAPTIONER_PROVIDERS", "blip, Local")

    assert read_settings().captioner_providers == ("blip", "local")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MISTRAL_API_KEY", f"{KEY} {KEY}"),
        ("OPENAI_API_KEY", f"{KEY}\u00e9"),
        ("MISTRAL_API_KEY_FILE", f"/nowhere/{KEY}"),
        ("OPENAI_BASE_URL", f"https://user:{KEY}@example.com"),
        ("OPENAI_BASE_URL", "ftp://example.com"),
        ("SIGHTMILL_CAPTIONER_PROVIDERS", "mistral,bard"),
        ("SIGHTMILL_CAPTIONER_PROVIDERS", ""),
        ("SIGHTMILL_CAPTIONER_IN_FLIGHT", "0"),
    ],
)
def test_a_wrong_value_names_its_variable_and_never_shows_itself(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError) as wrong:
        read_settings()

    explained = explain(wrong.value)
    assert explained.startswith("SIGHTMILL_CAPTIONER_")
    assert KEY not in explained
    assert KEY not in str(wrong.value)


def test_shown_settings_hide_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "key"))
    settings = read_settings()

    assert KEY not in show(settings)
    assert KEY not in repr(settings)
