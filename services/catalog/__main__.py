"""``python -m services.catalog``: serves CatalogService and PeopleService."""

from __future__ import annotations

from services.catalog.servicer import register_servicers
from services.catalog.settings import CatalogSettings
from services.catalog.sqlite_store import open_sqlite_store
from services.runtime.errors import ServiceError
from services.runtime.process import App, run, service_parser


async def start(app: App[CatalogSettings]) -> str:
    """Opens the store and registers the servicers."""
    settings = app.settings
    try:
        store = await app.enter(open_sqlite_store(settings.sqlite))
    except ServiceError as refusal:
        raise SystemExit(f"catalog: {refusal.reason_name}: {refusal.message}") from None
    app.health.add_check("store", store.ping)
    app.serve(
        lambda server: register_servicers(server, store, settings.catalog_stream_window, app.stopping),
        "sightmill.v1.CatalogService",
        "sightmill.v1.PeopleService",
    )
    return settings.catalog_listen


if __name__ == "__main__":
    run(service_parser("catalog", "Knows what is so."), "catalog", CatalogSettings, start)
