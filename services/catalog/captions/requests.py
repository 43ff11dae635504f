"""What requests of CaptionRecordsService may say: checks them and turns them into plain data."""

from __future__ import annotations

import re
from collections.abc import Sized
from datetime import date

from google.protobuf.duration_pb2 import Duration

from services.catalog.captions.model import (
    CaptionToKeep,
    Limit,
    Outcome,
    Reservation,
    Settlement,
    UsageQuery,
)
from services.catalog.refusals import invalid_field
from services.catalog.requests.images import SHA256
from services.catalog.requests.lists import parse_page_size
from services.catalog.requests.page_tokens import everything_but_the_page, read_text_token
from sightmill.v1 import caption_records_pb2

MAX_AT_ONCE = 256
MAX_LIMITS = 64
MAX_CAPTION_BYTES = 64 * 1024
MAX_AMOUNT = 10**15
MAX_DAYS = 3_660
_DEFAULT_ROWS, _MAX_ROWS = 100, 1_000
_KEY_BYTES, _ID_BYTES = 32, 16
_MIN_TTL_US, _MAX_TTL_US = 1_000_000, 86_400_000_000
_OUTCOMES = frozenset(map(int, Outcome))
_PROVIDER = re.compile(r"[a-z0-9-]{1,32}")
_BATCH = re.compile(r"(batches/[A-Za-z0-9_-]{1,128})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_keys(request: caption_records_pb2.LookUpCaptionsRequest) -> list[bytes]:
    """Raises ``InvalidArgumentError(INVALID_FIELD)``, as all parsers here do."""
    _check_count("keys", request.keys)
    for key in request.keys:
        _check_length("keys", key, _KEY_BYTES)
    return list(request.keys)


def parse_captions(request: caption_records_pb2.KeepCaptionsRequest) -> list[CaptionToKeep]:
    """What to keep."""
    _check_count("captions", request.captions)
    return [_parse_caption(kept) for kept in request.captions]


def parse_reservations(
    request: caption_records_pb2.ReserveSpendRequest,
) -> tuple[list[Reservation], list[Limit]]:
    """What to set aside, and within which limits."""
    _check_count("reservations", request.reservations)
    if len(request.limits) > MAX_LIMITS:
        raise invalid_field("limits", f"At most {MAX_LIMITS}.")
    reservations = [_parse_reservation(reservation) for reservation in request.reservations]
    return reservations, [_parse_limit(limit) for limit in request.limits]


def parse_settlements(request: caption_records_pb2.SettleSpendRequest) -> list[Settlement]:
    """What calls cost."""
    _check_count("settlements", request.settlements)
    return [_parse_settlement(settlement) for settlement in request.settlements]


def parse_usage_list(request: caption_records_pb2.ListSpendRequest) -> tuple[UsageQuery, int, str, bytes]:
    """Rows, size, place, and what the next page's request must have in common with this one.

    Raises ``InvalidArgumentError(INVALID_PAGE_TOKEN)``, too.
    """
    first, last = (_parse_day(field, getattr(request, field)) for field in ("start_day", "end_day"))
    if not 0 <= (last - first).days <= MAX_DAYS:
        raise invalid_field("end_day", f"Not before start_day, and at most {MAX_DAYS:,} days after it.")
    _check_batch("batch", request.batch)
    bound_to = everything_but_the_page(request)
    return (
        UsageQuery(request.start_day, request.end_day, request.by_batch, request.batch),
        parse_page_size(request.page_size, _DEFAULT_ROWS, _MAX_ROWS),
        read_text_token(bound_to, request.page_token) or "",
        bound_to,
    )


def _parse_caption(kept: caption_records_pb2.KeptCaption) -> CaptionToKeep:
    _check_length("captions.key", kept.key, _KEY_BYTES)
    if not SHA256.fullmatch(kept.sha256):
        raise invalid_field("captions.sha256", "64 hexadecimal digits, lower case.")
    caption = kept.caption.SerializeToString(deterministic=True)
    if not kept.HasField("caption") or len(caption) > MAX_CAPTION_BYTES:
        raise invalid_field("captions.caption", f"Required; at most {MAX_CAPTION_BYTES:,} bytes.")
    return CaptionToKeep(kept.key, bytes.fromhex(kept.sha256), caption)


def _parse_reservation(message: caption_records_pb2.SpendReservation) -> Reservation:
    _check_call("reservations", message)
    for field in ("micros", "tokens"):
        _check_amount(f"reservations.{field}", getattr(message, field))
    return Reservation(
        message.id,
        message.provider,
        message.batch,
        message.micros,
        message.tokens,
        _parse_ttl("reservations.ttl", message.ttl),
    )


def _parse_limit(message: caption_records_pb2.SpendLimit) -> Limit:
    if message.provider:
        _check_provider("limits.provider", message.provider)
    for field in ("micros", "tokens"):
        _check_amount(f"limits.{field}", getattr(message, field))
    return Limit(
        message.provider,
        message.monthly,
        message.micros if message.HasField("micros") else None,
        message.tokens if message.HasField("tokens") else None,
    )


def _parse_settlement(message: caption_records_pb2.SpendSettlement) -> Settlement:
    _check_call("settlements", message)
    for field in ("micros", "input_tokens", "output_tokens"):
        _check_amount(f"settlements.{field}", getattr(message, field))
    if message.outcome not in _OUTCOMES:
        raise invalid_field("settlements.outcome", "What came of the call; required.")
    return Settlement(
        message.id,
        message.provider,
        message.batch,
        message.micros,
        message.input_tokens,
        message.output_tokens,
        Outcome(message.outcome),
    )


def _parse_ttl(field: str, ttl: Duration) -> int:
    ttl_us = ttl.seconds * 1_000_000 + ttl.nanos // 1_000
    if not _MIN_TTL_US <= ttl_us <= _MAX_TTL_US:
        raise invalid_field(field, "1 second to 1 day; required.")
    return ttl_us


def _parse_day(field: str, text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise invalid_field(field, "A day as YYYY-MM-DD; required.")


def _check_call(
    field: str, message: caption_records_pb2.SpendReservation | caption_records_pb2.SpendSettlement
) -> None:
    _check_length(f"{field}.id", message.id, _ID_BYTES)
    _check_provider(f"{field}.provider", message.provider)
    _check_batch(f"{field}.batch", message.batch)


def _check_count(field: str, values: Sized) -> None:
    if not 1 <= len(values) <= MAX_AT_ONCE:
        raise invalid_field(field, f"1 to {MAX_AT_ONCE} in one call.")


def _check_length(field: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise invalid_field(field, f"{length} bytes.")


def _check_provider(field: str, provider: str) -> None:
    if not _PROVIDER.fullmatch(provider):
        raise invalid_field(field, "1 to 32 lower-case letters, digits and hyphens.")


def _check_batch(field: str, batch: str) -> None:
    if not _BATCH.fullmatch(batch):
        raise invalid_field(field, "batches/ and 1 to 128 letters, digits, _ and -; empty for none.")


def _check_amount(field: str, amount: int) -> None:
    if not 0 <= amount <= MAX_AMOUNT:
        raise invalid_field(field, f"0 to {MAX_AMOUNT:,}.")
