"""The upstreams: four gRPC services and the HTTP gateway."""

from __future__ import annotations

from gateway.envoy.nodes import Node, duration, extension, socket_address
from gateway.envoy.options import MIB, Address, EdgeOptions

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CONNECT_TIMEOUT_S = 2
# Above what a service takes itself (max_calls): its own refusal says more than ours.
_MAX_REQUESTS = 2_000


def build_clusters(options: EdgeOptions) -> list[Node]:
    """All clusters, named after the process that answers."""
    services = {
        "ingest": options.ingest,
        "analyzer": options.analyzer,
        "captioner": options.captioner,
        "catalog": options.catalog,
    }
    return [*(_grpc_cluster(name, address) for name, address in services.items()), _gateway(options.gateway)]


def _grpc_cluster(name: str, address: Address) -> Node:
    http2: Node = {
        "max_concurrent_streams": 1_000,
        "initial_stream_window_size": MIB,
        "initial_connection_window_size": 4 * MIB,
        "connection_keepalive": {"interval": duration(20), "timeout": duration(10)},
    }
    return {
        **_cluster(name, address),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: extension(_HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": http2}),
        },
        "health_checks": [{**_health_check(), "grpc_health_check": {}}],
    }


def _gateway(address: Address) -> Node:
    return {
        **_cluster("gateway", address),
        "typed_extension_protocol_options": {
            # A pooled connection must go before the gateway's own keep-alive (75 s) closes it
            # under a request.
            _HTTP_OPTIONS: extension(
                _HTTP_OPTIONS,
                common_http_protocol_options={"idle_timeout": duration(60)},
                explicit_http_config={"http_protocol_options": {}},
            ),
        },
        "health_checks": [{**_health_check(), "tcp_health_check": {}}],
    }


def _cluster(name: str, address: Address) -> Node:
    endpoint: Node = {"endpoint": {"address": socket_address(address)}}
    return {
        "name": name,
        "type": "STATIC" if address.is_numeric else "STRICT_DNS",
        "connect_timeout": duration(_CONNECT_TIMEOUT_S),
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": MIB,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 1_024,
                    "max_pending_requests": 1_024,
                    "max_requests": _MAX_REQUESTS,
                    # A plain bound of 3 overflows as soon as one instance goes away under load.
                    "retry_budget": {"budget_percent": {"value": 25}, "min_retry_concurrency": 50},
                }
            ]
        },
    }


def _health_check() -> Node:
    """Slow enough that a service with a busy loop for a few seconds is not taken out."""
    return {
        "timeout": duration(2),
        "interval": duration(2),
        # Without these an edge that nobody has called yet looks once a minute.
        "no_traffic_interval": duration(2),
        "unhealthy_interval": duration(0.5),
        "unhealthy_threshold": 3,
        "healthy_threshold": 1,
    }
