"""Starts the captioner: ``python -m services.captioner``."""

from __future__ import annotations

from services.captioner.http_client import open_http_client
from services.captioner.providers import build_chain, calls_in_flight
from services.captioner.servicer import CaptionerServicer
from services.captioner.settings import CaptionerSettings
from services.captioner.studio import open_studio
from services.runtime.ports import attach_blobs
from services.runtime.process import App, run, service_parser
from sightmill.v1 import captioner_pb2_grpc

NO_MODEL = (
    "no model provider configured: captions are composed from measurements; "
    "set MISTRAL_API_KEY or OPENAI_API_KEY"
)


async def start(app: App[CaptionerSettings]) -> str:
    """Opens pools, threads and blobs, builds the chain and registers the servicer."""
    settings = app.settings
    http = await app.enter(
        open_http_client(
            calls_in_flight(settings), settings.captioner_ca_file, settings.captioner_proxy.get_secret_value()
        )
    )
    studio = app.stack.enter_context(open_studio(settings.captioner_decoders, settings.captioner_max_pixels))
    blobs = attach_blobs(app)
    chain = build_chain(settings, http, app.metrics.registry)
    if not chain.links:
        app.health.add_fallback("captions", NO_MODEL)
    servicer = CaptionerServicer(  # type: ignore[abstract]  # what is left out answers NOT_SERVED_YET
        chain, studio, blobs, settings, app.stopping
    )
    app.serve(
        lambda server: captioner_pb2_grpc.add_CaptionerServiceServicer_to_server(servicer, server),
        "sightmill.v1.CaptionerService",
    )
    return settings.captioner_listen


if __name__ == "__main__":
    about = "Describes images in words through a chain of model providers, or from measurements."
    run(service_parser("captioner", about), "captioner", CaptionerSettings, start)
