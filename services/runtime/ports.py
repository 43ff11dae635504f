"""Opens the ports of a process by its settings: closed at the end, and part of its health."""

from __future__ import annotations

from typing import Any

from services.runtime.blobs.obstore_blobs import open_blobs
from services.runtime.blobs.options import BlobOptions
from services.runtime.blobs.port import Blobs
from services.runtime.process import App
from services.runtime.queue.jetstream_queue import open_queue
from services.runtime.queue.options import QueueOptions
from services.runtime.queue.port import WorkQueue


def attach_blobs(app: App[Any]) -> Blobs:
    """The blob store; the process is NOT_SERVING until it answers."""
    settings = app.settings
    options = BlobOptions(
        endpoint=settings.blob_endpoint,
        region=settings.blob_region,
        access_key_id=settings.blob_access_key_id if settings.blob_access_key_id.get_secret_value() else None,
        secret_access_key=(
            settings.blob_secret_access_key if settings.blob_secret_access_key.get_secret_value() else None
        ),
        allow_http=settings.blob_endpoint.startswith("http://"),
    )
    blobs = open_blobs(settings.blob_location, options)
    app.stack.push_async_callback(blobs.close)
    app.health.add_check("blobs", blobs.ping)
    return blobs


def attach_queue(app: App[Any]) -> WorkQueue:
    """The work queue; it connects by itself. Whoever opens lanes adds the health check."""
    settings = app.settings
    queue = open_queue(
        QueueOptions(
            servers=tuple(server.strip() for server in settings.nats_url.split(",")),
            token=settings.nats_token if settings.nats_token.get_secret_value() else None,
            client_name=f"sightmill-{app.name}",
            replicas=settings.nats_replicas,
        )
    )
    app.stack.push_async_callback(queue.close)
    return queue
