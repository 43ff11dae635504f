"""Metrics for Prometheus and traces for OpenTelemetry."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The registry of a process and what the server itself counts."""

    registry: CollectorRegistry
    calls_started: Counter
    calls_handled: Counter
    calls_in_flight: Gauge
    call_seconds: Histogram
    check_up: Gauge


def build_metrics() -> Metrics:
    """A registry of its own, so that two servers in one test process do not collide."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return Metrics(
        registry=registry,
        calls_started=Counter("sightmill_rpc_started", "Calls begun", ["method"], registry=registry),
        calls_handled=Counter(
            "sightmill_rpc_handled", "Calls ended, by status code", ["method", "code"], registry=registry
        ),
        calls_in_flight=Gauge("sightmill_rpc_in_flight", "Calls being served", registry=registry),
        call_seconds=Histogram(
            "sightmill_rpc_seconds",
            "Time from the start of a call to its end",
            ["method"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        ),
        check_up=Gauge(
            "sightmill_dependency_up", "1 when the dependency answers", ["dependency"], registry=registry
        ),
    )


def configure_tracing(service: str, endpoint: str) -> TracerProvider | None:
    """Sends spans to an OTLP collector; without an endpoint ids still travel, but nothing is recorded."""
    if not endpoint:
        return None
    # Loaded on demand: the exporter costs start-up time that most processes need not pay.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": f"sightmill-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
    trace.set_tracer_provider(provider)
    return provider
