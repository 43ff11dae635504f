"""Settings of the captioner. The providers' own variable names work beside the suite's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    FilePath,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode

from services.captioner.provider import Detail
from services.runtime.settings import Address, RuntimeSettings, Seconds

ProviderId = Literal["mistral", "openai", "compatible", "endpoint", "blip", "blip-local", "local"]
BudgetId = ProviderId | Literal["all"]
ALL_PROVIDERS = "all"
MAX_KEY_FILE_BYTES = 16_384
MAX_LANES = 32


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip().lower() for part in value.split(",") if part.strip())
    return value


def _checked_keys(keys: SecretStr) -> SecretStr:
    # A header with a line break or a letter beyond ASCII fails later, in an error that quotes the key.
    lines = keys.get_secret_value().replace("\n", ",").split(",")
    words = [line.strip() for line in lines if line.strip()]
    if not all("!" <= char <= "~" for word in words for char in word):
        raise ValueError("a key is one word of printable ASCII characters; several have commas between")
    if len(words) > MAX_LANES:
        raise ValueError(f"at most {MAX_LANES} keys")
    return SecretStr(",".join(words))


def _read_key(path: object) -> object:
    if isinstance(path, SecretStr) or not path:
        return path
    try:
        with Path(str(path)).open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
        if len(content) > MAX_KEY_FILE_BYTES:
            raise ValueError(f"the key file has more than {MAX_KEY_FILE_BYTES} bytes")
        return SecretStr(content.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the key file cannot be read ({type(error).__name__})") from None


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    # Asking for the port raises for one beyond 65535.
    has_more = parts.username or parts.password or parts.query or parts.fragment or parts.port == 0
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or has_more):
        raise ValueError("an http or https address without user name, password and query")
    return url.rstrip("/")


def _checked_proxy(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if url.get_secret_value() and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("an http or https address; user name and password may stand before the host")
    return url


def _checked_urls(urls: str) -> str:
    each = [_checked_url(url.strip()) for url in urls.split(",") if url.strip()]
    if len(each) > MAX_LANES:
        raise ValueError(f"at most {MAX_LANES} addresses")
    return ",".join(each)


Keys = Annotated[SecretStr, AfterValidator(_checked_keys)]
KeyFile = Annotated[SecretStr, BeforeValidator(_read_key), AfterValidator(_checked_keys)]
Url = Annotated[str, AfterValidator(_checked_url)]
Urls = Annotated[str, AfterValidator(_checked_urls)]
Chain = Annotated[tuple[ProviderId, ...], NoDecode, BeforeValidator(_split)]


def _alias(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RateSetting(_Strict):
    """Requests and tokens a minute that one key of a provider allows; None to learn them from its answers."""

    requests: int | None = Field(default=None, ge=1, le=10**9)
    tokens: int | None = Field(default=None, ge=1, le=10**15)


class BudgetSetting(_Strict):
    """Most that may be spent in a day and in a month (UTC): US dollars, and tokens."""

    day: float | None = Field(default=None, ge=0, le=1e9)
    month: float | None = Field(default=None, ge=0, le=1e9)
    day_tokens: int | None = Field(default=None, ge=0, le=10**15)
    month_tokens: int | None = Field(default=None, ge=0, le=10**15)


class PriceSetting(_Strict):
    """US dollars for a million tokens of prompts and of answers."""

    input: float = Field(ge=0, le=1e6)
    output: float = Field(ge=0, le=1e6)


class CaptionerSettings(RuntimeSettings):
    """Which models are asked, in which order, and within which bounds."""

    captioner_listen: Address = "127.0.0.1:50053"
    captioner_providers: Chain = Field(
        ("mistral", "openai", "compatible", "endpoint", "blip", "blip-local", "local"),
        min_length=1,
        description="the chain, separated by commas; those without key or address are passed by",
    )
    captioner_detail: Detail = Field("high", description="high: pictures of 1024 pixels; low: of 768")
    captioner_timeout_s: Seconds = Field(60.0, description="for an image whose caller names no deadline")
    captioner_in_flight: int = Field(16, ge=1, le=1_024, description="images in work for one stream")
    captioner_max_calls: int = Field(64, ge=1, le=10_000, description="single calls in work before refusal")
    captioner_concurrency: int = Field(
        8, ge=1, le=256, description="calls in flight with one key of a cloud provider"
    )
    captioner_local_concurrency: int = Field(
        2, ge=1, le=256, description="calls in flight to one compatible server, endpoint or BLIP service"
    )
    captioner_max_waiting: int = Field(
        256,
        ge=1,
        le=100_000,
        description="calls that wait for one provider before it is passed by; those of batches apart",
    )
    captioner_rates: dict[ProviderId, RateSetting] = Field(
        {}, description='JSON, limits a minute and key: {"mistral": {"requests": 60, "tokens": 50000}}'
    )
    captioner_keep_records: bool = Field(
        True,
        description="whether the catalog keeps captions and what they cost; without, no cache and no budgets",
    )
    captioner_budgets: dict[BudgetId, BudgetSetting] = Field(
        {},
        description='JSON, US dollars and tokens: {"all": {"day": 5, "month": 100, "day_tokens": 9000000}}',
    )
    captioner_budget_wait_s: float = Field(
        10.0,
        ge=0,
        le=600,
        description="time that an absence of the catalog is waited out before a provider with a budget is "
        "passed by",
    )
    captioner_prices: dict[str, PriceSetting] = Field(
        {}, description='JSON, US dollars a million tokens: {"my-model": {"input": 0.15, "output": 0.6}}'
    )
    captioner_records_timeout_s: Seconds = Field(2.0, description="wait for the catalog's answer")
    captioner_decoders: int = Field(2, ge=1, le=64, description="pictures decoded at the same time")
    captioner_max_pixels: int = Field(80_000_000, ge=1_000_000, le=1_000_000_000)
    captioner_max_upload_bytes: int = Field(
        32 * 1024 * 1024, ge=1_024, le=1024**3, description="largest image that a call may carry"
    )
    captioner_proxy: Annotated[SecretStr, AfterValidator(_checked_proxy)] = Field(
        SecretStr(""), description="HTTP proxy for calls to providers"
    )
    captioner_ca_file: FilePath | None = Field(
        None, description="certificates to trust in place of the usual ones"
    )

    captioner_mistral_api_key: Keys = Field(SecretStr(""), validation_alias=_alias("MISTRAL_API_KEY"))
    captioner_mistral_api_key_file: KeyFile = Field(
        SecretStr(""), validation_alias=_alias("MISTRAL_API_KEY_FILE")
    )
    captioner_mistral_model: str = Field(
        "mistral-small-latest", min_length=1, validation_alias=_alias("MISTRAL_MODEL")
    )
    captioner_mistral_url: Url = Field(
        "https://api.mistral.ai/v1", min_length=1, validation_alias=_alias("MISTRAL_BASE_URL")
    )

    captioner_openai_api_key: Keys = Field(SecretStr(""), validation_alias=_alias("OPENAI_API_KEY"))
    captioner_openai_api_key_file: KeyFile = Field(
        SecretStr(""), validation_alias=_alias("OPENAI_API_KEY_FILE")
    )
    captioner_openai_model: str = Field(
        "gpt-5.4-mini", min_length=1, validation_alias=_alias("OPENAI_VISION_MODEL")
    )
    captioner_openai_api: Literal["chat", "responses"] = Field(
        "chat", description="which of its two interfaces is spoken"
    )
    captioner_openai_url: Url = Field(
        "https://api.openai.com/v1", min_length=1, validation_alias=_alias("OPENAI_BASE_URL")
    )

    captioner_compatible_url: Urls = Field(
        "", description="OpenAI-compatible servers: Ollama, vLLM, llama.cpp, Gemini; each ends with /v1"
    )
    captioner_compatible_model: str = ""
    captioner_compatible_api_key: Keys = SecretStr("")
    captioner_compatible_api_key_file: KeyFile = SecretStr("")

    captioner_endpoint_url: Urls = Field(
        "",
        validation_alias=_alias("API_ENDPOINT_URLS", "API_ENDPOINT_URL"),
        description="image endpoints that take a form of text and image; several with commas between",
    )

    captioner_blip_url: Urls = Field(
        "",
        validation_alias=_alias("BLIP_SERVICE_URL", "BLIP_BASE_URL"),
        description="BLIP caption services; several with commas between",
    )
    captioner_blip_call: Literal["single", "batch", "async"] = Field(
        "single", description="how a BLIP service is asked: image by image, in batches, or by task"
    )
    captioner_blip_shared_folder: DirectoryPath | None = Field(
        None, description="folder that the BLIP service sees, too: it then gets paths instead of files"
    )
    captioner_blip_shared_path: str = Field(
        "",
        max_length=1_024,
        description="the same folder as the BLIP service names it; empty for the same name",
    )

    captioner_blip_model: DirectoryPath | None = Field(
        None, description="folder of a BLIP model for this process; needs the extra 'blip'"
    )
    captioner_blip_device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d{1,2})?)$", description="auto takes a GPU when one is there"
    )
    captioner_blip_batch: int = Field(16, ge=1, le=512, description="most pictures of one step of that model")
    captioner_blip_threads: int = Field(1, ge=1, le=256, description="threads of that model on a CPU")

    @field_validator("captioner_budgets")
    @classmethod
    def _budgets_need_records(
        cls, budgets: dict[BudgetId, BudgetSetting], info: ValidationInfo
    ) -> dict[BudgetId, BudgetSetting]:
        if budgets and not info.data.get("captioner_keep_records", True):
            raise ValueError("budgets need the catalog's records: SIGHTMILL_CAPTIONER_KEEP_RECORDS=true")
        return budgets


def chosen_keys(keys: SecretStr, key_file: SecretStr) -> tuple[str, ...]:
    """The keys themselves, or those from their file; empty when there are none."""
    words = keys.get_secret_value() or key_file.get_secret_value()
    return tuple(dict.fromkeys(word for word in words.split(",") if word))


def chosen_urls(urls: str) -> tuple[str, ...]:
    """The addresses, each once."""
    return tuple(dict.fromkeys(url for url in urls.split(",") if url))
