"""Settings of the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr

from services.catalog.mongo.database import MongoOptions
from services.catalog.sqlite.database import SqliteOptions
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
        16, ge=1, le=10_000, description="items of one WriteAnalyses stream in hand"
    )

    catalog_mongodb_url: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices(
            "SIGHTMILL_CATALOG_MONGODB_URL", "SIGHTMILL_MONGODB_URL", "MONGODB_URL"
        ),
        description="MongoDB replica set or sharded cluster in place of SQLite",
    )
    catalog_mongodb_database: str = Field("sightmill", pattern=r"^[A-Za-z0-9_-]{1,38}$")
    catalog_mongodb_driver: Literal["motor", "pymongo"] = Field(
        "motor", description="motor, or PyMongo's own asynchronous client, its successor"
    )
    catalog_mongodb_timeout_s: Seconds = Field(10.0, description="longest time that one call may take")
    catalog_retention_s: float = Field(
        30 * 86_400.0, gt=0, description="time that deleted images can be taken back before they go for good"
    )
    catalog_purge_interval_s: Seconds = Field(60.0, description="time between two looks for such images")
    catalog_compare_looks: bool = Field(
        True,
        description="whether to look for near duplicates in the background; 3 to 4 ms an image at a million",
    )
    catalog_place_faces: bool = Field(
        True, description="whether to sort faces with descriptors to people in the background"
    )
    catalog_caption_cache_max: int = Field(
        1_000_000, ge=0, description="captions kept so that they need not be paid for again; 0 for none"
    )
    catalog_caption_cache_s: float = Field(365 * 86_400.0, gt=0, description="time that they are kept")
    catalog_max_exports: int = Field(4, ge=1, le=100, description="exports at a time")

    @property
    def mongo(self) -> MongoOptions | None:
        """The options of MongoDB; None for the embedded store."""
        if not (url := self.catalog_mongodb_url.get_secret_value()):
            return None
        return MongoOptions(
            url=url,
            database=self.catalog_mongodb_database,
            driver=self.catalog_mongodb_driver,
            timeout_s=self.catalog_mongodb_timeout_s,
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
