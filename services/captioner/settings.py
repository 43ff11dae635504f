"""Settings of the captioner. The providers' own variable names work beside the suite's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, FilePath, SecretStr
from pydantic_settings import NoDecode

from services.captioner.provider import Detail
from services.runtime.settings import Address, RuntimeSettings, Seconds

ProviderId = Literal["mistral", "openai", "compatible", "blip", "local"]
MAX_KEY_FILE_BYTES = 4_096


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip().lower() for part in value.split(",") if part.strip())
    return value


def _checked_key(key: SecretStr) -> SecretStr:
    # A header with a line break or a letter beyond ASCII fails later, in an error that quotes the key.
    text = key.get_secret_value().strip()
    if not all("!" <= char <= "~" for char in text):
        raise ValueError("a key is one word of printable ASCII characters")
    return SecretStr(text)


def _read_key(path: object) -> object:
    if isinstance(path, SecretStr) or not path:
        return path
    try:
        with Path(str(path)).open("rb") as file:
            return SecretStr(file.read(MAX_KEY_FILE_BYTES).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the key file cannot be read ({type(error).__name__})") from None


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query):
        raise ValueError("an http or https address without user name, password and query")
    return url.rstrip("/")


Key = Annotated[SecretStr, AfterValidator(_checked_key)]
KeyFile = Annotated[SecretStr, BeforeValidator(_read_key), AfterValidator(_checked_key)]
Url = Annotated[str, AfterValidator(_checked_url)]
Chain = Annotated[tuple[ProviderId, ...], NoDecode, BeforeValidator(_split)]


def _alias(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class CaptionerSettings(RuntimeSettings):
    """Which models are asked, in which order, and within which bounds."""

    captioner_listen: Address = "127.0.0.1:50053"
    captioner_providers: Chain = Field(
        ("mistral", "openai", "compatible", "blip", "local"),
        min_length=1,
        description="the chain, separated by commas; those without key or address are passed by",
    )
    captioner_detail: Detail = Field("high", description="high: pictures of 1024 pixels; low: of 768")
    captioner_timeout_s: Seconds = Field(60.0, description="for an image whose caller names no deadline")
    captioner_in_flight: int = Field(16, ge=1, le=256, description="images in work for one stream")
    captioner_max_calls: int = Field(64, ge=1, le=10_000, description="single calls in work before refusal")
    captioner_concurrency: int = Field(8, ge=1, le=64, description="calls in flight to one cloud provider")
    captioner_local_concurrency: int = Field(
        2, ge=1, le=64, description="calls in flight to a compatible server or BLIP"
    )
    captioner_decoders: int = Field(2, ge=1, le=64, description="pictures decoded at the same time")
    captioner_max_pixels: int = Field(80_000_000, ge=1_000_000, le=1_000_000_000)
    captioner_max_upload_bytes: int = Field(
        32 * 1024 * 1024, ge=1_024, le=1024**3, description="largest image that a call may carry"
    )
    captioner_proxy: SecretStr = Field(SecretStr(""), description="HTTP proxy for calls to providers")
    captioner_ca_file: FilePath | None = Field(
        None, description="certificates to trust in place of the usual ones"
    )

    captioner_mistral_api_key: Key = Field(SecretStr(""), validation_alias=_alias("MISTRAL_API_KEY"))
    captioner_mistral_api_key_file: KeyFile = Field(
        SecretStr(""), validation_alias=_alias("MISTRAL_API_KEY_FILE")
    )
    captioner_mistral_model: str = Field(
        "mistral-small-latest", min_length=1, validation_alias=_alias("MISTRAL_MODEL")
    )
    captioner_mistral_url: Url = Field(
        "https://api.mistral.ai/v1", min_length=1, validation_alias=_alias("MISTRAL_BASE_URL")
    )

    captioner_openai_api_key: Key = Field(SecretStr(""), validation_alias=_alias("OPENAI_API_KEY"))
    captioner_openai_api_key_file: KeyFile = Field(
        SecretStr(""), validation_alias=_alias("OPENAI_API_KEY_FILE")
    )
    captioner_openai_model: str = Field(
        "gpt-5.4-mini", min_length=1, validation_alias=_alias("OPENAI_VISION_MODEL")
    )
    captioner_openai_url: Url = Field(
        "https://api.openai.com/v1", min_length=1, validation_alias=_alias("OPENAI_BASE_URL")
    )

    captioner_compatible_url: Url = Field(
        "", description="OpenAI-compatible server: Ollama, vLLM, llama.cpp; ends with /v1"
    )
    captioner_compatible_model: str = ""
    captioner_compatible_api_key: Key = SecretStr("")
    captioner_compatible_api_key_file: KeyFile = SecretStr("")

    captioner_blip_url: Url = Field(
        "", validation_alias=_alias("BLIP_SERVICE_URL", "BLIP_BASE_URL"), description="BLIP caption service"
    )


def chosen_key(key: SecretStr, key_file: SecretStr) -> str:
    """The key itself, or the one from its file; empty when there is none."""
    return (key.get_secret_value() or key_file.get_secret_value()).strip()
