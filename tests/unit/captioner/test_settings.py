"""Keys and chain as an operator sets them; nothing shows a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.captioner.settings import (
    MAX_KEY_FILE_BYTES,
    BudgetSetting,
    CaptionerSettings,
    PriceSetting,
    RateSetting,
    chosen_keys,
    chosen_urls,
)
from services.runtime.settings import explain, show

KEY = "sk-verysecret123"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MISTRAL_API_KEY", "OPENAI_API_KEY", "OPENAI_VISION_MODEL", "BLIP_SERVICE_URL"):
        monkeypatch.delenv(name, raising=False)


def read_settings(**given: Any) -> CaptionerSettings:
    return CaptionerSettings(**given)


def mistral_keys(settings: CaptionerSettings) -> tuple[str, ...]:
    return chosen_keys(settings.captioner_mistral_api_key, settings.captioner_mistral_api_key_file)


@pytest.mark.parametrize("name", ["MISTRAL_API_KEY", "SIGHTMILL_CAPTIONER_MISTRAL_API_KEY"])
def test_a_key_comes_by_either_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, KEY)

    assert mistral_keys(read_settings()) == (KEY,)


@pytest.mark.parametrize("name", ["MISTRAL_API_KEY_FILE", "SIGHTMILL_CAPTIONER_MISTRAL_API_KEY_FILE"])
def test_a_key_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv(name, str(tmp_path / "key"))

    assert mistral_keys(read_settings()) == (KEY,)


def test_several_keys_and_addresses_have_commas_or_lines_between(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "first, second,first,")
    (tmp_path / "keys").write_text("one\n\ntwo\n")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("API_ENDPOINT_URLS", "http://a:8000/generate, http://b:8000/generate/")
    settings = read_settings()

    assert mistral_keys(settings) == ("first", "second")
    openai = chosen_keys(settings.captioner_openai_api_key, settings.captioner_openai_api_key_file)
    assert openai == ("one", "two")
    assert chosen_urls(settings.captioner_endpoint_url) == (
        "http://a:8000/generate",
        "http://b:8000/generate",
    )


def test_a_key_file_is_read_whole_or_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = [f"sk-{number:03}-" + "x" * 160 for number in range(32)]
    (tmp_path / "keys").write_text("\n".join(keys))
    monkeypatch.setenv("MISTRAL_API_KEY_FILE", str(tmp_path / "keys"))
    assert mistral_keys(read_settings()) == tuple(keys)

    (tmp_path / "keys").write_text("x" * (MAX_KEY_FILE_BYTES + 1))
    with pytest.raises(ValidationError, match="more than 16384 bytes"):
        read_settings()


def test_rates_budgets_and_prices_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTMILL_CAPTIONER_RATES", '{"mistral": {"requests": 60}}')
    monkeypatch.setenv("SIGHTMILL_CAPTIONER_BUDGETS", '{"all": {"day": 5}, "openai": {"month_tokens": 9}}')
    monkeypatch.setenv("SIGHTMILL_CAPTIONER_PRICES", '{"mine": {"input": 0.15, "output": 0.6}}')
    settings = read_settings()

    assert settings.captioner_rates == {"mistral": RateSetting(requests=60)}
    assert settings.captioner_budgets == {
        "all": BudgetSetting(day=5),
        "openai": BudgetSetting(month_tokens=9),
    }
    assert settings.captioner_prices == {"mine": PriceSetting(input=0.15, output=0.6)}


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
        ("OPENAI_BASE_URL", "http://example.com:65536"),
        ("OPENAI_BASE_URL", f"https://:{KEY}@example.com"),
        ("SIGHTMILL_CAPTIONER_PROXY", f"user:{KEY}@proxy.example.com:3128"),
        ("SIGHTMILL_CAPTIONER_PROXY", f"socks5://user:{KEY}@proxy.example.com:3128"),
        ("SIGHTMILL_CAPTIONER_PROVIDERS", "mistral,bard"),
        ("SIGHTMILL_CAPTIONER_PROVIDERS", ""),
        ("SIGHTMILL_CAPTIONER_IN_FLIGHT", "0"),
        ("MISTRAL_API_KEY", ",".join(f"{KEY}{number}" for number in range(33))),
        ("API_ENDPOINT_URL", f"http://user:{KEY}@example.com/generate"),
        ("SIGHTMILL_CAPTIONER_RATES", '{"mistral": {"requests": 0}}'),
        ("SIGHTMILL_CAPTIONER_BUDGETS", '{"bard": {"day": 1}}'),
        ("SIGHTMILL_CAPTIONER_BUDGETS", '{"all": {"week": 1}}'),
        ("SIGHTMILL_CAPTIONER_BUDGETS", '{"all": {"day": -1}}'),
        ("SIGHTMILL_CAPTIONER_PRICES", '{"mine": {"input": 1}}'),
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


def test_budgets_need_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTMILL_CAPTIONER_BUDGETS", '{"all": {"day": 1}}')
    monkeypatch.setenv("SIGHTMILL_CAPTIONER_KEEP_RECORDS", "false")

    with pytest.raises(ValidationError) as wrong:
        read_settings()

    assert "SIGHTMILL_CAPTIONER_KEEP_RECORDS=true" in explain(wrong.value)


def test_shown_settings_hide_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "key"))
    settings = read_settings()

    assert KEY not in show(settings)
    assert KEY not in repr(settings)
