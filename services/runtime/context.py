"""The request id and the trace that a piece of work belongs to, from the edge to the worker and back.

The same headers travel as gRPC metadata and as headers of queue messages.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from opentelemetry import context as trace_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

REQUEST_ID = "x-request-id"
_ALLOWED = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_request_id: ContextVar[str] = ContextVar("request_id", default="")
_propagator = TraceContextTextMapPropagator()


def current_request_id() -> str:
    """The id of the request being worked on; empty outside of one."""
    return _request_id.get()


def outgoing_headers() -> dict[str, str]:
    """Headers to send along with a call or a message, so that the other side continues this request."""
    headers: dict[str, str] = {}
    if request_id := _request_id.get():
        headers[REQUEST_ID] = request_id
    _propagator.inject(headers)
    return headers


@contextmanager
def entered(headers: Mapping[str, str]) -> Iterator[str]:
    """Continues the request that ``headers`` belong to, or starts a new one; yields its id.

    An id from outside that is too long or holds odd characters is replaced: ids end up in log lines.
    """
    offered = headers.get(REQUEST_ID, "")
    request_id = offered if _ALLOWED.fullmatch(offered) else uuid.uuid4().hex
    id_token = _request_id.set(request_id)
    trace_token = trace_context.attach(_propagator.extract(headers))
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        try:
            yield request_id
        finally:
            trace_context.detach(trace_token)
            _request_id.reset(id_token)
