"""Settings of the catalog."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.catalog.sqlite_store import SqliteOptions
from services.runtime.settings import Address, RuntimeSettings, Seconds


class CatalogSettings(RuntimeSettings):
    """Where the catalog listens and keeps its data, and the bounds of what waits in it."""

    catalog_listen: Address = "127.0.0.1:50054"
    catalog_database: Path | None = Field(
        None, description="SQLite file; empty for DATA_DIR/catalog/catalog.sqlite3"
    )
    catalog_max_bytes: int = Field(
        0, ge=0, description="largest size of the SQLite file without its log; 0 for the disk's"
    )
    catalog_readers: int = Field(4, ge=1, le=64, description="reads at a time")
    catalog_max_waiting: int = Field(
        4_096, ge=1, le=1_000_000, description="reads, and changes, that wait before new ones are refused"
    )
    catalog_max_group: int = Field(256, ge=1, le=10_000, description="most changes that share one disk sync")
    catalog_read_timeout_s: Seconds = Field(10.0, description="longest time that a read may take")
    catalog_write_timeout_s: Seconds = Field(10.0, description="longest time that a change may wait and take")
    catalog_stream_window: int = Field(
        256, ge=1, le=10_000, description="items of one WriteAnalyses stream in hand"
    )

    @property
    def sqlite(self) -> SqliteOptions:
        """The embedded store's options, with the default place filled in."""
        return SqliteOptions(
            path=self.catalog_database or self.data_dir / "catalog" / "catalog.sqlite3",
            readers=self.catalog_readers,
            max_waiting=self.catalog_max_waiting,
            max_group=self.catalog_max_group,
            read_timeout_s=self.catalog_read_timeout_s,
            write_timeout_s=self.catalog_write_timeout_s,
            max_bytes=self.catalog_max_bytes,
        )
