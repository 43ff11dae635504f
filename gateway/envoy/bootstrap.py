"""The whole configuration of one Envoy."""

from __future__ import annotations

from gateway.envoy.clusters import build_clusters
from gateway.envoy.contract import Contract
from gateway.envoy.listener import build_listener
from gateway.envoy.nodes import Node, duration, extension, socket_address
from gateway.envoy.options import EdgeOptions

_MONITORS = "envoy.resource_monitors"


def build_bootstrap(options: EdgeOptions, contract: Contract) -> Node:
    """A bootstrap that stands alone: nothing is read from other files or fetched."""
    return {
        "node": {"id": "edge", "cluster": "sightmill"},
        "admin": {"address": socket_address(options.admin)},
        "static_resources": {
            "listeners": [build_listener(options, contract)],
            "clusters": build_clusters(options),
        },
        "overload_manager": _overload_manager(options),
    }


def _overload_manager(options: EdgeOptions) -> Node:
    """Gives memory back, then refuses requests, before the system would end the process."""
    heap = f"{_MONITORS}.fixed_heap"
    connections = f"{_MONITORS}.global_downstream_max_connections"
    return {
        "refresh_interval": duration(0.25),
        "resource_monitors": [
            _monitor(
                heap,
                "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=options.max_heap_bytes,
            ),
            _monitor(
                connections,
                "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=options.max_connections,
            ),
        ],
        "actions": [
            _action("envoy.overload_actions.shrink_heap", heap, 0.85),
            _action("envoy.overload_actions.disable_http_keepalive", heap, 0.92),
            _action("envoy.overload_actions.stop_accepting_requests", heap, 0.95),
        ],
    }


def _monitor(name: str, message: str, **fields: int) -> Node:
    return {"name": name, "typed_config": extension(message, **fields)}


def _action(name: str, resource: str, threshold: float) -> Node:
    return {"name": name, "triggers": [{"name": resource, "threshold": {"value": threshold}}]}
