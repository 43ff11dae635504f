"""Settings of the ingest process, in either role."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field

from services.runtime.settings import Address, RuntimeSettings, Seconds

MIB = 1024 * 1024


class IngestSettings(RuntimeSettings):
    """Limits of the intake and of the pipeline worker."""

    ingest_role: Literal["api", "worker", "all"] = Field(
        "all", description="api takes images in, worker analyses them"
    )
    ingest_listen: Address = "127.0.0.1:50051"
    ingest_worker_listen: Address = Field(
        "127.0.0.1:0", description="where a lone worker answers health checks"
    )

    ingest_max_bytes: int = Field(64 * MIB, ge=1, le=64 * MIB, description="largest image")
    ingest_max_pixels: int = Field(50_000_000, ge=1, description="most pixels of one frame")
    ingest_max_total_pixels: int = Field(200_000_000, ge=1, description="most pixels of all frames together")
    ingest_decode_timeout_s: Seconds = 4.0
    ingest_decode_memory_mb: int = Field(
        1_024, ge=128, description="memory that the decode of one image may take in a child process"
    )
    ingest_chunk_timeout_s: Seconds = Field(60.0, description="longest silence in the middle of an upload")
    ingest_max_receiving: int = Field(
        64, ge=1, le=1_000, description="images being received at the same time"
    )
    ingest_max_waiting: int = Field(
        256, ge=0, description="uploads that wait for their turn before new ones are refused"
    )
    ingest_spool_bytes: int = Field(
        MIB, ge=4_096, description="an upload longer than this goes to disk while it comes in"
    )
    ingest_store_timeout_s: Seconds = Field(15.0, description="time to make one image durable")
    ingest_max_watchers: int = Field(
        10_000, ge=1, description="calls that wait for an image at the same time"
    )

    ingest_worker_slots: int = Field(
        default_factory=lambda: 4 * (os.cpu_count() or 1),
        ge=1,
        le=1_024,
        description="images in work per worker",
    )
    ingest_analyze_timeout_s: Seconds = Field(60.0, description="time for one image before it is tried again")
    ingest_caption_timeout_s: Seconds = 120.0
    ingest_reconcile_interval_s: Seconds = 10.0
    ingest_reconcile_after_s: Seconds = Field(
        15.0, description="age at which an unfinished image may be queued again"
    )
    ingest_collect_interval_s: Seconds = Field(
        60.0, description="time between two rounds of garbage collection"
    )
    ingest_collect_after_s: Seconds = Field(
        3_600.0, description="time that bytes are kept after the last image that referred to them is gone"
    )
    ingest_stray_interval_s: Seconds = Field(
        86_400.0, description="time between two searches for stored bytes that never became an image"
    )
