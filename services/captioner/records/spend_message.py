"""Reservations, settlements and totals as messages, and back."""

from __future__ import annotations

from google.protobuf import duration_pb2

from services.captioner.money.spending import Limit, Outcome, Reservation, Settlement, Total
from services.captioner.records.port import Totals
from sightmill.v1 import caption_records_pb2 as records_pb2

_OUTCOMES = {
    Outcome.DESCRIBED: records_pb2.SPEND_OUTCOME_DESCRIBED,
    Outcome.CACHED: records_pb2.SPEND_OUTCOME_CACHED,
    Outcome.RELEASED: records_pb2.SPEND_OUTCOME_RELEASED,
    Outcome.WASTED: records_pb2.SPEND_OUTCOME_WASTED,
    Outcome.UNSETTLED: records_pb2.SPEND_OUTCOME_UNSETTLED,
}


def limit_message(limit: Limit) -> records_pb2.SpendLimit:
    """The message of a limit."""
    return records_pb2.SpendLimit(
        provider=limit.provider, monthly=limit.monthly, micros=limit.micros, tokens=limit.tokens
    )


def limit_from(message: records_pb2.SpendLimit) -> Limit:
    """The limit of a message."""
    return Limit(
        message.provider,
        message.monthly,
        message.micros if message.HasField("micros") else None,
        message.tokens if message.HasField("tokens") else None,
    )


def reservation_message(reservation: Reservation) -> records_pb2.SpendReservation:
    """The message of a reservation."""
    return records_pb2.SpendReservation(
        id=reservation.id,
        provider=reservation.provider,
        batch=reservation.batch,
        micros=reservation.micros,
        tokens=reservation.tokens,
        ttl=duration_pb2.Duration(seconds=reservation.ttl_s),
    )


def settlement_message(settlement: Settlement) -> records_pb2.SpendSettlement:
    """The message of a settlement."""
    return records_pb2.SpendSettlement(
        id=settlement.id,
        provider=settlement.provider,
        batch=settlement.batch,
        micros=settlement.micros,
        input_tokens=settlement.tokens.input,
        output_tokens=settlement.tokens.output,
        outcome=_OUTCOMES[settlement.outcome],
    )


def totals_from(answer: records_pb2.GetSpendResponse) -> Totals:
    """The totals of an answer, by provider and period."""
    return {
        (each.provider, each.monthly): Total(
            each.micros, each.tokens, each.reserved_micros, each.reserved_tokens
        )
        for each in answer.totals
    }
