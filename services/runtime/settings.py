"""Settings that every process shares, and how they are read and shown.

One rule: the variable is ``SIGHTMILL_`` and the field's name in capitals, so ``catalog_address`` is
``SIGHTMILL_CATALOG_ADDRESS``. A ``.env`` file in the working directory is read first, the environment wins.
Settings are read once, in ``__main__``, and passed down.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SIGHTMILL_"

_CREDENTIALS_IN_URL = re.compile(r"//[^/@\s]+@")


def _with_valid_port(address: str) -> str:
    if int(address.rpartition(":")[2]) > 65_535:
        raise ValueError("a port is 0 to 65535")
    return address


Address = Annotated[
    str,
    Field(pattern=r"^[^\s:]+:\d{1,5}$", description="host:port; port 0 takes a free one"),
    AfterValidator(_with_valid_port),
]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class RuntimeSettings(BaseSettings):
    """What a process needs to live: logs, telemetry, health, queue, blobs, and where the others are."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        extra="ignore",
        frozen=True,
        validate_default=True,
        # A field that has other names, too, is still given by its own in code and on the command line.
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
        # Errors name the field, and with it our own variable, also where another name was used.
        loc_by_alias=False,
    )

    data_dir: Path = Field(Path(".sightmill"), description="folder for everything that this machine keeps")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    status_listen: Address = Field("127.0.0.1:0", description="plain HTTP: /metrics, /healthz, /readyz")
    otlp_endpoint: str = Field("", description="OTLP/gRPC collector for traces, host:port; empty for none")

    ingest_address: Address = "127.0.0.1:50051"
    analyzer_address: Address = "127.0.0.1:50052"
    captioner_address: Address = "127.0.0.1:50053"
    catalog_address: Address = "127.0.0.1:50054"

    nats_url: str = Field("nats://127.0.0.1:4222", description="one or several, separated by commas")
    nats_token: SecretStr = SecretStr("")
    nats_replicas: int = Field(1, ge=1, le=5, description="copies of each stream in the cluster")

    blob_url: str = Field(
        "",
        pattern=r"^(s3://[^/\s]+.*|file:///.*)?$",
        description="s3://bucket or file:///folder; empty for DATA_DIR/blobs",
    )
    blob_endpoint: str = Field("", description="S3 endpoint when it is not Amazon's")
    blob_region: str = "us-east-1"
    blob_access_key_id: SecretStr = SecretStr("")
    blob_secret_access_key: SecretStr = SecretStr("")

    max_message_bytes: int = Field(
        72 * 1024 * 1024, ge=4 * 1024 * 1024, le=1024**3, description="largest gRPC message, both ways"
    )
    max_calls: int = Field(1_000, ge=1, le=100_000, description="calls in flight before new ones are refused")
    drain_delay_s: float = Field(
        0.2, ge=0, le=60, description="wait between NOT_SERVING and the stop, so that balancers notice"
    )
    drain_timeout_s: Seconds = Field(20.0, description="time for calls and work in flight to end on SIGTERM")

    @property
    def blob_location(self) -> str:
        """The blob store's URL, with the embedded default filled in."""
        return self.blob_url or (self.data_dir.resolve() / "blobs").as_uri()


def explain(error: ValidationError) -> str:
    """Says which variable breaks which rule; never shows the value, which may be a secret."""
    lines = []
    for problem in error.errors(include_input=False, include_context=False):
        field = str(problem["loc"][0]) if problem["loc"] else "?"
        lines.append(f"{PREFIX}{field.upper()}: {problem['msg']} (docs/operations.md, settings)")
    return "\n".join(lines)


def show(settings: RuntimeSettings) -> str:
    """All effective values as ``NAME=value`` lines, secrets hidden, those inside of URLs, too."""
    values = settings.model_dump(mode="json")
    lines = (f"{PREFIX}{name.upper()}={'' if value is None else value}" for name, value in values.items())
    return "\n".join(_CREDENTIALS_IN_URL.sub("//***@", line) for line in lines)
