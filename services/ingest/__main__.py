"""Starts ingest: ``python -m services.ingest [--role api|worker|all]``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

from prometheus_client import Gauge

from services.ingest.admission import Admission
from services.ingest.analyzing import Analyzing
from services.ingest.collector import Collector
from services.ingest.describing import Describing
from services.ingest.guard import Limits, open_guard_children, prepare
from services.ingest.intake import Intake
from services.ingest.notices import Notices
from services.ingest.patience import Patience
from services.ingest.pipeline import Pipeline
from services.ingest.readiness import ServiceCheck, WorkLanes
from services.ingest.reanalysis import Reanalysis
from services.ingest.reconciler import Reconciler
from services.ingest.recording import Recording
from services.ingest.renditions import Renditions
from services.ingest.servicer import IngestServicer
from services.ingest.settings import IngestSettings
from services.ingest.spool import Spool
from services.ingest.versions import CachedVersion, ask_analyzer, ask_captioner
from services.ingest.watching import Watching
from services.ingest.worker import Worker, build_worker_metrics
from services.runtime.blobs.port import Blobs
from services.runtime.ports import attach_blobs, attach_queue
from services.runtime.process import App, run, service_parser
from services.runtime.queue.port import WorkQueue
from sightmill.v1 import (
    analyzer_pb2,
    analyzer_pb2_grpc,
    batches_pb2_grpc,
    captioner_pb2,
    captioner_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    ingest_pb2_grpc,
    people_pb2,
)

# The edge asks this process for reflection, so it lists the services of all.
PUBLIC_SERVICES = tuple(
    service.full_name
    for module in (analyzer_pb2, captioner_pb2, catalog_pb2, people_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What both roles talk to."""

    blobs: Blobs
    queue: WorkQueue
    catalog: catalog_pb2_grpc.CatalogServiceAsyncStub
    analyzer: analyzer_pb2_grpc.AnalyzerServiceAsyncStub
    renditions: Renditions


async def start(app: App[IngestSettings]) -> str:
    """Opens what this role needs and registers it."""
    settings = app.settings
    lane, neighbours = await _meet_neighbours(app)
    if settings.ingest_role != "worker":
        await _serve_api(app, neighbours)
    if settings.ingest_role != "api":
        await _run_worker(app, lane, neighbours)
    return settings.ingest_worker_listen if settings.ingest_role == "worker" else settings.ingest_listen


async def _meet_neighbours(app: App[IngestSettings]) -> tuple[WorkLanes, Neighbours]:
    settings = app.settings
    blobs = attach_blobs(app)
    queue = attach_queue(app)
    catalog = await app.channel(settings.catalog_address)
    analyzer = await app.channel(settings.analyzer_address)
    lane = WorkLanes(queue)
    app.health.add_check("queue", lane.check)
    app.health.add_check("catalog", ServiceCheck("catalog", catalog).check)
    analyzer_stub = analyzer_pb2_grpc.AnalyzerServiceStub(analyzer)
    return lane, Neighbours(
        blobs=blobs,
        queue=queue,
        catalog=catalog_pb2_grpc.CatalogServiceStub(catalog),
        analyzer=analyzer_stub,
        renditions=Renditions(blobs, analyzer_stub),
    )


async def _serve_api(app: App[IngestSettings], neighbours: Neighbours) -> None:
    settings = app.settings
    limits = Limits(
        settings.ingest_max_pixels,
        settings.ingest_max_total_pixels,
        settings.ingest_decode_timeout_s,
        settings.ingest_decode_memory_mb,
    )
    prepare(limits)
    spool_folder = settings.data_dir.resolve() / "spool"
    spool_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    threads = cpu_count() or 1
    decoders = app.stack.enter_context(ThreadPoolExecutor(threads, thread_name_prefix="decode"))
    children = open_guard_children(limits, threads, app.metrics.registry)
    app.stack.callback(children.close)
    notices = Notices(neighbours.queue, settings.ingest_max_watchers)
    captioner = captioner_pb2_grpc.CaptionerServiceStub(await app.channel(settings.captioner_address))
    intake = Intake(
        catalog=neighbours.catalog,
        blobs=neighbours.blobs,
        queue=neighbours.queue,
        decoders=decoders,
        limits=limits,
        decode_timeout_s=settings.ingest_decode_timeout_s,
        store_timeout_s=settings.ingest_store_timeout_s,
        children=children,
    )
    admission = Admission(settings.ingest_max_receiving, settings.ingest_max_waiting)
    Gauge(
        "sightmill_uploads_in_hand", "Images being received or stored", registry=app.metrics.registry
    ).set_function(lambda: admission.in_hand)
    servicer = IngestServicer(
        intake=intake,
        admission=admission,
        new_spool=lambda: Spool(spool_folder, settings.ingest_max_bytes, settings.ingest_spool_bytes),
        chunk_timeout_s=settings.ingest_chunk_timeout_s,
        stopping=app.stopping,
        watching=Watching(neighbours.catalog, notices, app.stopping),
        renditions=neighbours.renditions,
        blobs=neighbours.blobs,
        catalog=neighbours.catalog,
        reanalysis=Reanalysis(
            neighbours.catalog,
            neighbours.queue,
            {
                "insights": CachedVersion(lambda: ask_analyzer(neighbours.analyzer)),
                "caption": CachedVersion(lambda: ask_captioner(captioner)),
            },
        ),
    )
    app.serve(
        lambda server: ingest_pb2_grpc.add_IngestServiceServicer_to_server(servicer, server),
        "sightmill.v1.IngestService",
    )
    # Batches come in a later version; until then every method of theirs says so.
    app.serve(
        lambda server: batches_pb2_grpc.add_BatchServiceServicer_to_server(
            batches_pb2_grpc.BatchServiceServicer(),  # type: ignore[abstract]  # none of it is served yet
            server,
        ),
        "sightmill.v1.BatchService",
    )
    app.reflect(*PUBLIC_SERVICES)
    app.background("notices", notices.listen)


async def _run_worker(app: App[IngestSettings], lane: WorkLanes, neighbours: Neighbours) -> None:
    settings = app.settings
    captioner = await app.channel(settings.captioner_address)
    patience = Patience()
    pipeline = Pipeline(
        Analyzing(neighbours.analyzer, neighbours.renditions, patience, settings.ingest_analyze_timeout_s),
        Describing(
            captioner_pb2_grpc.CaptionerServiceStub(captioner), patience, settings.ingest_caption_timeout_s
        ),
        Recording(neighbours.catalog, patience),
    )
    metrics = build_worker_metrics(app.metrics.registry)
    worker = Worker(neighbours.queue, lane, pipeline, metrics, settings.ingest_worker_slots)
    reconciler = Reconciler(
        neighbours.queue,
        neighbours.catalog,
        settings.ingest_reconcile_interval_s,
        settings.ingest_reconcile_after_s,
    )
    collector = Collector(
        neighbours.catalog,
        neighbours.blobs,
        settings.ingest_collect_interval_s,
        settings.ingest_collect_after_s,
        settings.ingest_stray_interval_s,
    )
    app.background("collector", collector.run)
    app.background("worker", worker.run)
    app.background("reconciler", reconciler.run)


def main() -> None:
    """Reads the command line and lives until a signal."""
    parser = service_parser("ingest", "Takes images in, and analyses them in the background.")
    parser.add_argument(
        "--role", dest="ingest_role", choices=("api", "worker", "all"), help="what this process does"
    )
    run(parser, "ingest", IngestSettings, start)


if __name__ == "__main__":
    main()
