"""Starts the captioner: ``python -m services.captioner``."""

from __future__ import annotations

import asyncio

from services.captioner.chain import Chain
from services.captioner.http_client import open_http_client
from services.captioner.money.budget import Budget, limits_from
from services.captioner.money.prices import PriceTable
from services.captioner.provider import Provider
from services.captioner.providers import HINTS, Providers, calls_in_flight
from services.captioner.records.catalog_records import CatalogRecords, open_catalog_records
from services.captioner.records.known_answers import KnownAnswers
from services.captioner.records.port import NoRecords, Records, RecordsAwayError
from services.captioner.reports import Reports
from services.captioner.servicer import CaptionerServicer
from services.captioner.settings import CaptionerSettings
from services.captioner.studio import open_studio
from services.runtime.ports import attach_blobs
from services.runtime.process import App, run, service_parser
from services.runtime.rounds import waited
from sightmill.v1 import captioner_pb2_grpc

NO_MODEL = (
    "no model provider configured: captions are composed from measurements; "
    "set MISTRAL_API_KEY or OPENAI_API_KEY"
)
NO_RECORDS = "the catalog does not answer: captions are not cached, and providers with a budget are passed by"
RECORDS_OFF = "captions are neither cached nor counted: SIGHTMILL_CAPTIONER_KEEP_RECORDS is off"
RECORDS_INTERVAL_S = 5.0


async def start(app: App[CaptionerSettings]) -> str:
    """Opens pools, threads, blobs and records, builds the chain and registers the servicer."""
    settings = app.settings
    http = await app.enter(
        open_http_client(
            calls_in_flight(settings), settings.captioner_ca_file, settings.captioner_proxy.get_secret_value()
        )
    )
    studio = app.stack.enter_context(open_studio(settings.captioner_decoders, settings.captioner_max_pixels))
    blobs = attach_blobs(app)
    records = await _open_records(app)
    prices = PriceTable(settings.captioner_prices)
    budget = Budget(
        records,
        prices,
        limits_from(settings.captioner_budgets),
        patience_s=settings.captioner_budget_wait_s,
    )
    providers = Providers(settings, http, await _open_blip(app))
    links = providers.links(budget, app.metrics.registry)
    chain = Chain(settings.captioner_providers, links, HINTS, KnownAnswers(records))
    if not chain.links:
        app.health.add_fallback("captions", NO_MODEL)
    reports = Reports(chain, budget, prices, records, settings.captioner_detail)
    servicer = CaptionerServicer(chain, reports, studio, blobs, settings, app.stopping)
    app.serve(
        lambda server: captioner_pb2_grpc.add_CaptionerServiceServicer_to_server(servicer, server),
        "sightmill.v1.CaptionerService",
    )
    return settings.captioner_listen


async def _open_records(app: App[CaptionerSettings]) -> Records:
    settings = app.settings
    if not settings.captioner_keep_records:
        app.health.add_fallback("records", RECORDS_OFF)
        return NoRecords()
    channel = await app.channel(settings.catalog_address)
    records = await app.enter(
        open_catalog_records(
            channel,
            settings.captioner_records_timeout_s,
            limits_from(settings.captioner_budgets),
            app.metrics.registry,
        )
    )
    app.background("records", records.run)
    app.background("records-health", lambda stopping: _watch_records(app, records, stopping))
    return records


async def _watch_records(
    app: App[CaptionerSettings], records: CatalogRecords, stopping: asyncio.Event
) -> None:
    """Says in the report while the catalog is away: the captioner works without it, with less."""
    while not stopping.is_set():
        try:
            await records.ping()
        except RecordsAwayError:
            app.health.add_fallback("records", NO_RECORDS)
        else:
            app.health.clear_fallback("records")
        if await waited(stopping, RECORDS_INTERVAL_S):
            return


async def _open_blip(app: App[CaptionerSettings]) -> Provider | None:
    settings = app.settings
    if settings.captioner_blip_model is None or "blip-local" not in settings.captioner_providers:
        return None
    # PyTorch is there only where the extra is installed.
    from services.captioner.blip.blip_local_provider import open_blip_local  # noqa: PLC0415

    return await app.enter(
        open_blip_local(
            settings.captioner_blip_model,
            settings.captioner_blip_device,
            settings.captioner_blip_batch,
            settings.captioner_blip_threads,
        )
    )


if __name__ == "__main__":
    about = "Describes images in words through a chain of model providers, or from measurements."
    run(service_parser("captioner", about), "captioner", CaptionerSettings, start)
