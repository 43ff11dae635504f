"""Settings of the gateway process."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from services.runtime.settings import Address, RuntimeSettings, Seconds

MIB = 1024 * 1024


class GatewaySettings(RuntimeSettings):
    """Where it listens, whom it trusts, and how much it takes. Limits of images are those of ingest."""

    gateway_listen: Address = "127.0.0.1:8081"
    gateway_public_url: str = Field(
        "",
        pattern=r"^(https?://[^\s?#]+)?$",
        description="base of absolute links; empty for the caller's Host",
    )
    gateway_trusted_proxies: str = Field(
        "127.0.0.1", description="addresses whose X-Forwarded-* headers count, separated by commas"
    )
    gateway_cors_origins: str = Field(
        "",
        validation_alias=AliasChoices(
            "gateway_cors_origins", "SIGHTMILL_GATEWAY_CORS_ORIGINS", "CORS_ALLOWED_ORIGINS"
        ),
        description="origins of pages that may call, separated by commas; * for all; empty for loopback",
    )
    gateway_max_parts: int = Field(1_000, ge=1, le=100_000, description="files and fields of one upload")
    gateway_max_file_bytes: int = Field(256 * MIB, ge=1, description="largest file of a native upload")
    gateway_peek_max_bytes: int = Field(
        16 * MIB,
        ge=1,
        validation_alias=AliasChoices(
            "gateway_peek_max_bytes", "SIGHTMILL_GATEWAY_PEEK_MAX_BYTES", "MAX_FILE_SIZE"
        ),
        description="largest file of the peek dialect",
    )
    gateway_max_body_bytes: int = Field(16 * 1024 * MIB, ge=1, description="largest native upload as a whole")
    gateway_rpc_timeout_s: Seconds = Field(10.0, description="time for a short call to another service")
    gateway_transfer_timeout_s: Seconds = Field(300.0, description="time to send one image out")
    gateway_upload_timeout_s: Seconds = Field(3_600.0, description="time for one upload as a whole")
    gateway_watch_timeout_s: Seconds = Field(3_600.0, description="longest watch; callers then watch again")
    gateway_idle_timeout_s: Seconds = Field(30.0, description="longest silence in the middle of an upload")
    gateway_max_header_bytes: int = Field(
        65_536, ge=4_096, le=1_048_576, description="request line and headers together"
    )

    @property
    def cors_origins(self) -> list[str]:
        """The origins as a list, without empty ones."""
        return [origin for part in self.gateway_cors_origins.split(",") if (origin := part.strip())]
