"""REST: how JSON becomes gRPC and back, and how a stream is framed for which caller."""

from __future__ import annotations

from gateway.envoy.contract import Contract
from gateway.envoy.nodes import Node, extension

FILTER = "envoy.filters.http.grpc_json_transcoder"
NEWLINES = "stream_newline_delimited"
EVENTS = "stream_sse_style_delimited"
_MESSAGE = "envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"


def build_transcoder(contract: Contract, max_json_bytes: int, framing: str | None) -> Node:
    """The filter's configuration on a REST route; ``framing`` None frames a stream as one JSON array.

    Errors come as google.rpc.Status in JSON. Its ``details`` need google/rpc/error_details.proto in the
    descriptor set, otherwise Envoy answers with an empty body.
    """
    print_options: Node = {"always_print_primitive_fields": True, "preserve_proto_field_names": True}
    if framing:
        print_options[framing] = True
    return extension(
        _MESSAGE,
        proto_descriptor_bin=contract.encoded,
        services=list(contract.services),
        convert_grpc_status=True,
        case_insensitive_enum_parsing=True,
        # As browsers and most clients write a space.
        query_param_unescape_plus=True,
        print_options=print_options,
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        # What is held at a time: a whole unary answer, a body of raw bytes. JSON bodies are parsed as they
        # come, and bounded by the message limit of the service.
        max_request_body_size=max_json_bytes,
        max_response_body_size=max_json_bytes,
    )


def idle_transcoder() -> Node:
    """The filter without services: it does nothing but on routes that configure it."""
    return extension(_MESSAGE, proto_descriptor_bin="", services=[])
