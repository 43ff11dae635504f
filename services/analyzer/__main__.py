"""Starts the analyzer: ``python -m services.analyzer``."""

from __future__ import annotations

from services.analyzer.process import configure_memory, configure_threads

configure_memory()
configure_threads()  # before anything loads OpenCV, Tesseract or onnxruntime

from services.analyzer import convert  # noqa: E402
from services.analyzer.analysis import Analyzer  # noqa: E402
from services.analyzer.decode import DecodeLimits  # noqa: E402
from services.analyzer.plan import STANDARD, AnalyzerConfig  # noqa: E402
from services.analyzer.servicer import AnalyzerServicer  # noqa: E402
from services.analyzer.settings import AnalyzerSettings  # noqa: E402
from services.analyzer.workshop import Workshop  # noqa: E402
from services.runtime.ports import attach_blobs  # noqa: E402
from services.runtime.process import App, run, service_parser  # noqa: E402
from sightmill.v1 import analyzer_pb2_grpc  # noqa: E402


async def start(app: App[AnalyzerSettings]) -> str:
    """Loads the models and registers the service."""
    settings = app.settings
    analyzer = Analyzer(
        AnalyzerConfig(
            decode=DecodeLimits(
                max_bytes=settings.analyzer_max_bytes,
                max_pixels=settings.analyzer_max_pixels,
                max_total_pixels=settings.analyzer_max_total_pixels,
                timeout_s=settings.analyzer_decode_timeout_s,
                memory_mb=settings.analyzer_decode_memory_mb,
            ),
            decode_processes=settings.analyzer_threads,
            insights=STANDARD | settings.analyzer_extra_detectors,
            people_processes=settings.analyzer_people_processes,
            people_timeout_s=settings.analyzer_people_timeout_s,
            face_model=settings.analyzer_face_model,
            tessdata=settings.analyzer_tessdata,
            tessdata_prefix=settings.analyzer_tessdata_prefix,
            languages=settings.analyzer_text_language,
            text_timeout_s=settings.analyzer_text_timeout_s,
            accurate_text_timeout_s=settings.analyzer_accurate_text_timeout_s,
            with_location=True,  # each call may withhold it
        ),
        registry=app.metrics.registry,
    )
    app.stack.callback(analyzer.close)
    for name, message in convert.fallbacks(analyzer).items():
        app.health.add_fallback(name, message)
    workshop = Workshop(
        attach_blobs(app),
        settings.analyzer_threads,
        settings.analyzer_max_waiting,
        settings.analyzer_max_bytes,
    )
    app.stack.callback(workshop.close)
    servicer = AnalyzerServicer(
        analyzer, workshop, settings.analyzer_threads, settings.analyzer_timeout_s, app.stopping
    )
    app.serve(
        lambda server: analyzer_pb2_grpc.add_AnalyzerServiceServicer_to_server(servicer, server),
        "sightmill.v1.AnalyzerService",
    )
    return settings.analyzer_listen


def main() -> None:
    """Reads the command line and lives until a signal."""
    run(
        service_parser("analyzer", "Measures images: colours, light, faces, text, scene."),
        "analyzer",
        AnalyzerSettings,
        start,
    )


if __name__ == "__main__":
    main()
