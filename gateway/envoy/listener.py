"""The one listener: HTTP/1.1 and HTTP/2 without TLS, its limits, and the order of the filters."""

from __future__ import annotations

from gateway.envoy import cross_origin, transcoder
from gateway.envoy.contract import Contract
from gateway.envoy.nodes import Node, duration, extension, socket_address
from gateway.envoy.options import MIB, EdgeOptions
from gateway.envoy.replies import build_local_replies
from gateway.envoy.routes import build_routes

_FILTERS = "envoy.extensions.filters.http"


def build_listener(options: EdgeOptions, contract: Contract) -> Node:
    """The listener with its whole filter chain."""
    manager = {"name": "envoy.filters.network.http_connection_manager"}
    return {
        "name": "edge",
        "address": socket_address(options.listen),
        # What one slow reader may hold; streams are paused above it.
        "per_connection_buffer_limit_bytes": MIB,
        "filter_chains": [{"filters": [manager | {"typed_config": _connection_manager(options, contract)}]}],
    }


def _connection_manager(options: EdgeOptions, contract: Contract) -> Node:
    return extension(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="edge",
        codec_type="AUTO",
        server_name="sightmill",
        http_filters=_http_filters(),
        route_config={
            "name": "edge",
            "virtual_hosts": [{"name": "edge", "domains": ["*"], "routes": build_routes(options, contract)}],
        },
        local_reply_config=build_local_replies(),
        access_log=_access_log() if options.access_log else [],
        **_limits(),
        **_safe_paths(),
        **_identity(options),
    )


def _http_filters() -> list[Node]:
    """CORS first, so that refusals carry its headers, too; gRPC-Web before what reads gRPC."""
    configurations = {
        cross_origin.FILTER: extension(f"{_FILTERS}.cors.v3.Cors"),
        "envoy.filters.http.grpc_web": extension(f"{_FILTERS}.grpc_web.v3.GrpcWeb"),
        transcoder.FILTER: transcoder.idle_transcoder(),
        "envoy.filters.http.router": extension(f"{_FILTERS}.router.v3.Router"),
    }
    return [{"name": name, "typed_config": config} for name, config in configurations.items()]


def _limits() -> Node:
    """Bounds on waiting. No bound on a whole request: an upload may take as long as bytes arrive."""
    return {
        "request_headers_timeout": duration(15),
        "stream_idle_timeout": duration(300),
        "drain_timeout": duration(5),
        "common_http_protocol_options": {
            "idle_timeout": duration(600),
            # gRPC metadata may hold underscores by right, so one odd header must not cost the call.
            "headers_with_underscores_action": "DROP_HEADER",
        },
        # A REST caller on HTTP/1.1 learns of an error in mid-stream from trailers only.
        "http_protocol_options": {"enable_trailers": True},
        "http2_protocol_options": {
            "max_concurrent_streams": 256,
            "initial_stream_window_size": MIB,
            "initial_connection_window_size": 4 * MIB,
            "connection_keepalive": {"interval": duration(30), "timeout": duration(10)},
        },
    }


def _safe_paths() -> Node:
    """One spelling of a path, so that no route can be reached around another."""
    return {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }


def _identity(options: EdgeOptions) -> Node:
    """Who calls, and the request's id: the caller's own is kept as it is, and comes back."""
    return {
        "use_remote_address": True,
        "xff_num_trusted_hops": options.trusted_hops,
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": extension(
                "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                pack_trace_reason=False,
                use_request_id_for_trace_sampling=False,
            )
        },
    }


def _access_log() -> list[Node]:
    """One JSON object a request on standard output; no query strings, which may hold private words."""
    fields = {
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "path": "%PATH(NQ:ORIG_OR_PATH)%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "received_bytes": "%BYTES_RECEIVED%",
        "sent_bytes": "%BYTES_SENT%",
        "duration_ms": "%DURATION%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    }
    log = extension(
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", log_format={"json_format": fields}
    )
    return [{"name": "stdout", "typed_config": log}]
