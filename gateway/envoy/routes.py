"""Which request goes where, how long it may take, and what is tried again.

A REST call is matched twice: first as ``/v1/...``, which decides how it is transcoded, then, after the
transcoder has found its method, as ``/sightmill.v1.Service/Method``, which decides where it goes. What the
transcoder does not know it refuses with 404.
"""

from __future__ import annotations

from gateway.envoy import transcoder
from gateway.envoy.contract import Contract, Method
from gateway.envoy.cross_origin import cross_origin
from gateway.envoy.nodes import Node, duration
from gateway.envoy.options import EdgeOptions

CLUSTER_OF_SERVICE = {
    "sightmill.v1.IngestService": "ingest",
    "sightmill.v1.BatchService": "ingest",
    "sightmill.v1.AnalyzerService": "analyzer",
    "sightmill.v1.CaptionerService": "captioner",
    "sightmill.v1.CatalogService": "catalog",
    "sightmill.v1.PeopleService": "catalog",
}
# Given to callers that name no deadline. Wait and captions take their time by design.
DEFAULT_DEADLINE_S = 30
DEADLINES_S = {
    "UploadImage": 120,
    "ImportImage": 120,
    "WaitImage": 75,
    "ReanalyzeImages": 120,
    "AppendBatchItems": 120,
    "AnalyzeImage": 120,
    "RenderImage": 60,
    "CaptionImage": 180,
    "TestProvider": 120,
}
_LONGEST_DEADLINE_S = 600
_STREAM_IDLE_S = 3_600
_GATEWAY_IDLE_S = 600


def build_routes(options: EdgeOptions, contract: Contract) -> list[Node]:
    """All routes, first match first. ValueError for a service that has no cluster."""
    cors = cross_origin(options.cors_origins)
    routes = [_upload_route()]
    for service in contract.services:
        if service not in CLUSTER_OF_SERVICE:
            raise ValueError(f"{service} has no cluster: add it to CLUSTER_OF_SERVICE in {__file__}")
        routes += _service_routes(contract.methods_of(service), CLUSTER_OF_SERVICE[service], cors)
    routes += [_infrastructure_route("/grpc.reflection."), _infrastructure_route("/grpc.health.")]
    routes += _rest_routes(options, contract, cors)
    routes.append({"match": {"prefix": "/", "grpc": {}}, "direct_response": {"status": 404}})
    routes.append(_gateway_route({"prefix": "/"}))
    return routes


def _service_routes(methods: tuple[Method, ...], cluster: str, cors: Node) -> list[Node]:
    special = [
        method for method in methods if method.is_streaming or method.is_read or method.name in DEADLINES_S
    ]
    routes = [_method_route(method, cluster, cors) for method in special]
    rest: Node = {
        "match": {"prefix": f"/{methods[0].service}/"},
        "typed_per_filter_config": cors,
        **_unary(cluster, DEFAULT_DEADLINE_S),
    }
    return [*routes, rest]


def _method_route(method: Method, cluster: str, cors: Node) -> Node:
    route: Node = {"match": {"path": method.path}, "typed_per_filter_config": cors}
    if method.is_streaming:
        return route | {"route": _endless(cluster)}
    route |= _unary(cluster, DEADLINES_S.get(method.name, DEFAULT_DEADLINE_S))
    if method.is_read:
        route["route"]["retry_policy"] = _retry_policy()
    return route


def _unary(cluster: str, deadline_s: int) -> Node:
    """A deadline that the service sees: the caller's, or ours where it names none (REST never does).

    The service gives up by itself and says why; the idle timeout is for one that hangs. An upper limit of
    Envoy's own (``max_stream_duration``) would overwrite the deadline that is sent on.
    """
    return {
        "request_headers_to_add": [
            {"header": {"key": "grpc-timeout", "value": f"{deadline_s}S"}, "append_action": "ADD_IF_ABSENT"}
        ],
        "route": {
            "cluster": cluster,
            "timeout": duration(0),
            "idle_timeout": duration(_LONGEST_DEADLINE_S),
            "max_stream_duration": {"grpc_timeout_header_max": duration(_LONGEST_DEADLINE_S)},
        },
    }


def _endless(cluster: str) -> Node:
    """Envoy's default of 15 s would cut every stream; here only the caller's own deadline counts."""
    return {
        "cluster": cluster,
        "timeout": duration(0),
        "idle_timeout": duration(_STREAM_IDLE_S),
        "max_stream_duration": {"max_stream_duration": duration(0), "grpc_timeout_header_max": duration(0)},
    }


def _retry_policy() -> Node:
    return {
        "retry_on": "connect-failure,refused-stream,reset",
        "num_retries": 2,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/"
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 3,
        "retry_back_off": {"base_interval": duration(0.05), "max_interval": duration(0.5)},
    }


def _infrastructure_route(prefix: str) -> Node:
    """Reflection and health: ingest lists the services of all processes."""
    return {"match": {"prefix": prefix}, "route": _endless("ingest")}


def _rest_routes(options: EdgeOptions, contract: Contract, cors: Node) -> list[Node]:
    """How streams are framed: events for EventSource, an array for strict JSON readers, else lines."""
    watch: Node = {
        "safe_regex": {"regex": "/v1/.*:watch"},
        "headers": [_accept({"contains": "text/event-stream"})],
    }
    strict: Node = {"prefix": "/v1/", "headers": [_accept({"exact": "application/json"})]}
    framings: list[tuple[Node, str | None]] = [
        (watch, transcoder.EVENTS),
        (strict, None),
        ({"prefix": "/v1/"}, transcoder.NEWLINES),
    ]
    return [_rest_route(match, _transcoded(options, contract, framing) | cors) for match, framing in framings]


def _transcoded(options: EdgeOptions, contract: Contract, framing: str | None) -> Node:
    return {transcoder.FILTER: transcoder.build_transcoder(contract, options.max_json_bytes, framing)}


def _accept(rule: Node) -> Node:
    return {"name": "accept", "string_match": rule}


def _rest_route(match: Node, filters: Node) -> Node:
    """The cluster is never asked, but without one the CORS filter would not look at the route."""
    return {"match": match, "typed_per_filter_config": filters, "route": {"cluster": "gateway"}}


def _upload_route() -> Node:
    """Multipart is the gateway's: it streams while it reads."""
    return _gateway_route({"path": "/v1/images:upload"})


def _gateway_route(match: Node) -> Node:
    return {
        "match": match,
        "route": {"cluster": "gateway", "timeout": duration(0), "idle_timeout": duration(_GATEWAY_IDLE_S)},
    }
