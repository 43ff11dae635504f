"""``python -m services.catalog``: serves CatalogService, PeopleService and CaptionRecordsService."""

from __future__ import annotations

import sys

from services.catalog.captions.servicer import CaptionRecordsServicer
from services.catalog.captions.store import CaptionRecordStore
from services.catalog.captions.upkeep import CaptionUpkeep
from services.catalog.export.exports import ExportLimits, Exports
from services.catalog.looks.duplicate_pairs import DuplicatePairs
from services.catalog.looks.duplicates import DuplicateSweep
from services.catalog.looks.look_index import LookIndex
from services.catalog.looks.similar_answers import LookAnswers
from services.catalog.people.clusters import PeopleKeeper
from services.catalog.people.servicer import PeopleServicer
from services.catalog.retention import Retention
from services.catalog.servicer import Answers, register_servicers
from services.catalog.settings import CatalogSettings
from services.catalog.stores import Stores, open_mongo_stores, open_sqlite_stores
from services.runtime.errors import ServiceError
from services.runtime.process import App, run, service_parser
from sightmill.v1 import caption_records_pb2_grpc

# Threads that read, write and export share one interpreter with the event loop. Python's own 5 ms would let
# one of them hold all others up for as long as a page takes.
_SWITCH_INTERVAL_S = 0.0005


async def start(app: App[CatalogSettings]) -> str:
    """Opens the stores, starts the background work and registers the servicers."""
    settings = app.settings
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    stores = await _open_stores(app)
    app.health.add_check("store", stores.catalog.ping)
    answers = _start_look_work(app, stores)
    exports = Exports(
        stores.catalog,
        ExportLimits(settings.data_dir.resolve() / "catalog" / "exports", settings.catalog_max_exports),
    )
    if settings.catalog_place_faces:
        app.background("people", PeopleKeeper(stores.people).run)
    retention = Retention(stores.catalog, settings.catalog_retention_s, settings.catalog_purge_interval_s)
    app.background("retention", retention.run)
    app.serve(
        lambda server: register_servicers(
            server,
            stores.catalog,
            settings.catalog_stream_window,
            app.stopping,
            Answers(answers.list_similar, answers.list_duplicates, exports.stream),
            PeopleServicer(stores.people),
        ),
        "sightmill.v1.CatalogService",
        "sightmill.v1.PeopleService",
    )
    _serve_caption_records(app, stores.caption_records)
    return settings.catalog_listen


def _serve_caption_records(app: App[CatalogSettings], store: CaptionRecordStore) -> None:
    settings = app.settings
    upkeep = CaptionUpkeep(store, settings.catalog_caption_cache_max, settings.catalog_caption_cache_s)
    app.background("caption records", upkeep.run)
    servicer = CaptionRecordsServicer(store, keeps_captions=settings.catalog_caption_cache_max > 0)
    app.serve(
        lambda server: caption_records_pb2_grpc.add_CaptionRecordsServiceServicer_to_server(servicer, server),
        "sightmill.v1.CaptionRecordsService",
    )


async def _open_stores(app: App[CatalogSettings]) -> Stores:
    mongo = app.settings.mongo
    try:
        return await app.enter(open_mongo_stores(mongo) if mongo else open_sqlite_stores(app.settings.sqlite))
    except ServiceError as refusal:
        raise SystemExit(f"catalog: {refusal.reason_name}: {refusal.message}") from None


def _start_look_work(app: App[CatalogSettings], stores: Stores) -> LookAnswers:
    index = LookIndex(stores.looks)
    pairs = DuplicatePairs(stores.looks, index)
    app.background("looks", index.follow)
    if app.settings.catalog_compare_looks:
        app.background("duplicates", DuplicateSweep(stores.looks, index, pairs).run)
    return LookAnswers(stores.catalog, stores.looks, index, pairs)


if __name__ == "__main__":
    run(service_parser("catalog", "Knows what is so."), "catalog", CatalogSettings, start)
