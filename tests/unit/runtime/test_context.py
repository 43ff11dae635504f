"""The request id: continued, replaced when odd, sent along."""

from __future__ import annotations

import re

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace

from services.runtime.context import REQUEST_ID, current_request_id, entered, outgoing_headers

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


def test_outside_of_a_request_there_is_no_id_and_nothing_to_send() -> None:
    assert current_request_id() == ""
    assert outgoing_headers() == {}


def test_an_id_from_outside_is_continued() -> None:
    with entered({REQUEST_ID: "edge:7.a-b_c"}) as request_id:
        assert request_id == current_request_id() == "edge:7.a-b_c"
        assert outgoing_headers() == {REQUEST_ID: "edge:7.a-b_c"}
    assert current_request_id() == ""


@pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "a\nlevel=error", "é", 'quote"', "a/b"])
def test_an_odd_id_is_replaced(offered: str) -> None:
    with entered({REQUEST_ID: offered}) as request_id:
        assert re.fullmatch(r"[0-9a-f]{32}", request_id)


@given(st.text())
def test_whatever_comes_the_id_is_fit_for_a_log_line(offered: str) -> None:
    with entered({REQUEST_ID: offered}) as request_id:
        assert re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", request_id)


def test_new_ids_differ() -> None:
    with entered({}) as first:
        pass
    with entered({}) as second:
        pass
    assert first != second


def test_nested_requests_give_way_to_the_outer_one_again() -> None:
    with entered({REQUEST_ID: "outer"}):
        with entered({REQUEST_ID: "inner"}):
            assert current_request_id() == "inner"
            assert structlog.contextvars.get_contextvars()["request_id"] == "inner"
        assert current_request_id() == "outer"
        assert structlog.contextvars.get_contextvars()["request_id"] == "outer"


def test_an_error_inside_ends_the_request_too() -> None:
    with pytest.raises(KeyError), entered({REQUEST_ID: "a"}):
        raise KeyError
    assert current_request_id() == ""
    assert "request_id" not in structlog.contextvars.get_contextvars()


def test_the_trace_of_the_caller_is_continued() -> None:
    with entered({"traceparent": TRACEPARENT}):
        assert trace.get_current_span().get_span_context().trace_id == int(TRACE_ID, 16)
        assert outgoing_headers()["traceparent"] == TRACEPARENT
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_damaged_trace_is_left_out() -> None:
    with entered({"traceparent": "00-zz-zz-01"}):
        assert "traceparent" not in outgoing_headers()
