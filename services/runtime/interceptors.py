"""What happens around every call, whatever its shape.

Order, outermost first, and why: the request id is there before anything is logged; logs and metrics see
refusals, too; limits refuse before work is done; errors are innermost, so that everything outside sees a
status and never an exception. Health and reflection pass by the limits: they must answer under overload.
"""

from __future__ import annotations

import abc
import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from opentelemetry import trace

from services.runtime import statuses
from services.runtime.context import current_request_id, entered
from services.runtime.errors import (
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
    not_served_yet,
)
from services.runtime.telemetry import Metrics

_INFRASTRUCTURE = ("/grpc.health.", "/grpc.reflection.")
# What callers do wrong is no alarm for the operator.
_CALLER_FAULTS = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}

Context = grpc.aio.ServicerContext[Any, Any]
Around = AbstractAsyncContextManager[None]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: ``method`` is ``/package.Service/Method``, ``metadata`` its text headers."""

    method: str
    metadata: dict[str, str]
    context: Context
    bidirectional: bool


class AroundInterceptor(grpc.aio.ServerInterceptor, abc.ABC):
    """Runs :meth:`around` about the handler of all four call shapes."""

    @abc.abstractmethod
    def around(self, call: Call) -> Around:
        """A context that the handler runs in, its answers included."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the handler that the next interceptor gives."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_INFRASTRUCTURE):
            return handler
        metadata = {
            key: value
            for key, value in handler_call_details.invocation_metadata or ()
            if isinstance(value, str)
        }
        return self._wrapped(handler, method, metadata)

    def _wrapped(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str, metadata: dict[str, str]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        inner = _behaviour(handler)
        bidirectional = handler.request_streaming and handler.response_streaming

        async def respond(request: Any, context: Context) -> Any:
            async with self.around(Call(method, metadata, context, bidirectional)):
                return await inner(request, context)

        # Writes instead of yielding: gRPC leaves the generator of a cancelled call to the garbage collector,
        # which would end the contexts about it late, in another task, and with errors.
        async def stream(request: Any, context: Context) -> None:
            async with self.around(Call(method, metadata, context, bidirectional)):
                answers = inner(request, context)
                if inspect.isawaitable(answers):  # the next interceptor's, which writes by itself
                    await answers
                    return
                async with aclosing(answers):
                    async for answer in answers:
                        await _write(context, answer)

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        wrapped: Any = stream if handler.response_streaming else respond
        return make(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


class RequestIdInterceptor(AroundInterceptor):
    """Continues the caller's request id and trace, or starts new ones; sends the id back."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """See the class."""
        with entered(call.metadata) as request_id:
            call.context.set_trailing_metadata((("x-request-id", request_id),))
            if call.bidirectional:
                # So that the caller knows at once that its stream is open; elsewhere headers wait, since an
                # error without them is what becomes an HTTP status at the edge.
                await call.context.send_initial_metadata((("x-request-id", request_id),))
            yield


class ObserveInterceptor(AroundInterceptor):
    """One log line, one span and the metrics of every call, refused ones included."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger("rpc")
        self._tracer = trace.get_tracer("sightmill")

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """See the class."""
        started = time.perf_counter()
        self._metrics.calls_started.labels(call.method).inc()
        self._metrics.calls_in_flight.inc()
        cancelled = False
        try:
            with self._tracer.start_as_current_span(call.method, kind=trace.SpanKind.SERVER):
                yield
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            code = grpc.StatusCode.CANCELLED if cancelled else _code_of(call.context)
            elapsed_s = time.perf_counter() - started
            self._metrics.calls_in_flight.dec()
            self._metrics.calls_handled.labels(call.method, code.name).inc()
            self._metrics.call_seconds.labels(call.method).observe(elapsed_s)
            level = "info" if code in _CALLER_FAULTS else "warning"
            getattr(self._log, level)(
                "call", method=call.method, code=code.name, elapsed_ms=round(elapsed_s * 1_000, 1)
            )


class LimitInterceptor(AroundInterceptor):
    """Refuses new calls at once when too many are in flight, or when the process is draining."""

    def __init__(self, max_calls: int, draining: asyncio.Event) -> None:
        self._max_calls = max_calls
        self._draining = draining
        self._in_flight = 0

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """See the class."""
        refusal = self._refusal()
        if refusal:
            await _abort(call.context, statuses.to_status(refusal, current_request_id()))
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def _refusal(self) -> UnavailableError | ResourceExhaustedError | None:
        if self._draining.is_set():
            return UnavailableError(
                Reason.DRAINING,
                "This process is shutting down; another one will take the call.",
                retry_after_s=1.0,
            )
        if self._in_flight >= self._max_calls:
            return ResourceExhaustedError(
                Reason.OVERLOADED,
                f"{self._max_calls} calls are in flight already; come back in a moment.",
                retry_after_s=1.0,
                limit=self._max_calls,
            )
        return None


class ErrorInterceptor(AroundInterceptor):
    """Turns typed errors into statuses, and anything else into an INTERNAL that tells nothing."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("rpc")

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """See the class."""
        try:
            yield
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as fault:  # noqa: BLE001  the one place where every error becomes a status
            request_id = current_request_id()
            error = _typed(fault, call.method)
            if error is None:
                self._log.exception("fault", method=call.method)
                error = statuses.internal_error(request_id)
            await _abort(call.context, statuses.to_status(error, request_id))


def interceptor_chain(metrics: Metrics, max_calls: int, draining: asyncio.Event) -> list[AroundInterceptor]:
    """The chain of every server, outermost first; the module says why in this order."""
    return [
        RequestIdInterceptor(),
        ObserveInterceptor(metrics),
        LimitInterceptor(max_calls, draining),
        ErrorInterceptor(),
    ]


def _typed(fault: Exception, method: str) -> ServiceError | None:
    # Generated base classes raise this for every method of the contract that a servicer leaves out.
    if isinstance(fault, NotImplementedError):
        return not_served_yet(method.rpartition("/")[2])
    return statuses.translate(fault)


async def _abort(context: Context, status: Any) -> None:
    trailers = (
        ("x-request-id", current_request_id()),
        (statuses.DETAILS_KEY, status.SerializeToString()),
    )
    await context.abort(statuses.code_of(status), status.message, trailers)


async def _write(context: Context, answer: Any) -> None:
    try:
        await context.write(answer)
    except grpc.aio.InternalError as gone:
        # The caller went away, and gRPC's own cancellation of this task is still on its way.
        raise asyncio.CancelledError from gone


def _behaviour(handler: grpc.RpcMethodHandler[Any, Any]) -> Callable[[Any, Context], Any]:
    behaviour: Any = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    return behaviour  # type: ignore[no-any-return]


def _code_of(context: Context) -> grpc.StatusCode:
    code: Any = context.code()
    if isinstance(code, int):
        return statuses.code_by_number(code)
    return code or grpc.StatusCode.OK
