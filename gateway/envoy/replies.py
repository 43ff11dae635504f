"""Envoy's own errors in the shape of everybody else's: google.rpc.Status in JSON, with an ErrorInfo."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.envoy.nodes import Node

_DOMAIN = "sightmill.dev"


@dataclass(frozen=True, slots=True)
class Reply:
    """What stands in the body for an HTTP status that Envoy itself answers with.

    ``code`` is the gRPC status, ``reason`` a value of ``ErrorReason``; an empty ``message`` keeps the text
    that Envoy (or the transcoder) found.
    """

    http_status: int
    code: int
    reason: str
    message: str = ""


REPLIES = (
    Reply(400, 3, "INVALID_FIELD"),
    Reply(403, 7, "NOT_ALLOWED"),
    Reply(404, 5, "ROUTE_NOT_FOUND", "Nothing is served under this path and method."),
    Reply(405, 12, "ROUTE_NOT_FOUND", "This path does not take this method."),
    Reply(408, 4, "DEADLINE", "The request did not arrive in time."),
    Reply(413, 3, "IMAGE_TOO_LARGE", "The body is larger than the edge takes for JSON; upload as multipart."),
    Reply(415, 3, "INVALID_FIELD"),
    Reply(426, 9, "INVALID_FIELD"),
    Reply(429, 8, "RATE_LIMITED", "Too many requests; come back later."),
    Reply(431, 3, "INVALID_FIELD", "The request's headers are too large."),
    Reply(500, 13, "INTERNAL_ERROR", "A fault at the edge; quote the request id to the operator."),
    Reply(502, 14, "SERVICE_UNAVAILABLE", "The service behind the edge answered out of protocol."),
    Reply(503, 14, "SERVICE_UNAVAILABLE", "The service behind the edge does not answer; try again."),
    Reply(504, 4, "DEADLINE", "The service behind the edge took too long."),
)


def build_local_replies() -> Node:
    """``local_reply_config`` of the connection manager; native gRPC calls keep their statuses."""
    return {"mappers": [_mapper(reply) for reply in REPLIES]}


def _mapper(reply: Reply) -> Node:
    retry = [{"header": {"key": "retry-after", "value": "1"}, "append_action": "ADD_IF_ABSENT"}]
    return {
        "filter": {"and_filter": {"filters": [_has_status(reply.http_status), _is_not_grpc()]}},
        "body_format_override": {"json_format": _body(reply)},
        "headers_to_add": retry if reply.http_status in {429, 503} else [],
    }


def _body(reply: Reply) -> Node:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reply.reason,
        "domain": _DOMAIN,
        "metadata": {"request_id": "%REQ(X-REQUEST-ID)%", "edge": "%RESPONSE_CODE_DETAILS%"},
    }
    return {"code": reply.code, "message": reply.message or "%LOCAL_REPLY_BODY%", "details": [info]}


def _has_status(status: int) -> Node:
    value = {"default_value": status, "runtime_key": f"edge.reply_{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _is_not_grpc() -> Node:
    """A transcoded call looks like gRPC by now, but still knows the path that it came with."""
    return {
        "or_filter": {
            "filters": [
                {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": True}}},
                {
                    "header_filter": {
                        "header": {
                            "name": "content-type",
                            "string_match": {"prefix": "application/grpc"},
                            "invert_match": True,
                            # Without a content type it is no gRPC call either.
                            "treat_missing_header_as_empty": True,
                        }
                    }
                },
            ]
        }
    }
