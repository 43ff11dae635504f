"""The days that a usage report is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from google.protobuf import timestamp_pb2

from services.captioner.convert import invalid_field
from sightmill.v1 import caption_records_pb2, captioner_pb2, common_pb2

DEFAULT_DAYS = 30
MAX_DAYS = 3_660


def spend_query(
    request: captioner_pb2.GetCaptionUsageRequest, today: date
) -> caption_records_pb2.ListSpendRequest:
    """The question to the records; raises InvalidArgumentError (INVALID_FIELD) about the time range."""
    try:
        first, last = _days(request.time_range, today)
    except OverflowError:
        raise invalid_field("time_range", "A time is between the years 1 and 9999.") from None
    if not 0 <= (last - first).days <= MAX_DAYS:
        raise invalid_field("time_range", f"It ends after its start, at most {MAX_DAYS:,} days later.")
    return caption_records_pb2.ListSpendRequest(
        start_day=first.isoformat(),
        end_day=last.isoformat(),
        by_batch=request.by_batch,
        batch=request.batch,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def _days(span: common_pb2.TimeRange, today: date) -> tuple[date, date]:
    """First and last day, both inclusive; a day that is touched counts as a whole."""
    last = _day_of(span.end_time, -1) if span.HasField("end_time") else today
    first = _day_of(span.start_time) if span.HasField("start_time") else last - timedelta(DEFAULT_DAYS - 1)
    return first, last


def _day_of(moment: timestamp_pb2.Timestamp, micros_later: int = 0) -> date:
    since_1970 = timedelta(microseconds=moment.ToMicroseconds() + micros_later)
    return (datetime(1970, 1, 1, tzinfo=UTC) + since_1970).date()
