"""CaptionRecordsService: messages in, store calls, messages out."""

from __future__ import annotations

from typing import Any

import grpc

from services.catalog.captions.model import Limit, Spend, TotalKey, UsageRow
from services.catalog.captions.requests import (
    parse_captions,
    parse_keys,
    parse_reservations,
    parse_settlements,
    parse_usage_list,
)
from services.catalog.captions.store import CaptionRecordStore
from services.catalog.convert import read_into
from services.catalog.requests.page_tokens import make_page_token
from sightmill.v1 import caption_records_pb2, caption_records_pb2_grpc, captioner_pb2, common_pb2

Context = grpc.aio.ServicerContext[Any, Any]
_CURRENCY = "USD"


class CaptionRecordsServicer(caption_records_pb2_grpc.CaptionRecordsServiceServicer):
    """See the contract. Without ``keeps_captions`` those that are given to keep are passed by."""

    def __init__(self, store: CaptionRecordStore, *, keeps_captions: bool = True) -> None:
        self._store = store
        self._keeps_captions = keeps_captions

    async def LookUpCaptions(
        self, request: caption_records_pb2.LookUpCaptionsRequest, context: Context
    ) -> caption_records_pb2.LookUpCaptionsResponse:
        """See the contract."""
        found = await self._store.look_up_captions(parse_keys(request))
        answer = caption_records_pb2.LookUpCaptionsResponse()
        for caption in found:
            looked_up = answer.captions.add()
            if caption is not None:
                read_into(looked_up.caption, caption)
        return answer

    async def KeepCaptions(
        self, request: caption_records_pb2.KeepCaptionsRequest, context: Context
    ) -> caption_records_pb2.KeepCaptionsResponse:
        """See the contract."""
        captions = parse_captions(request)
        if self._keeps_captions:
            await self._store.keep_captions(captions)
        return caption_records_pb2.KeepCaptionsResponse()

    async def ReserveSpend(
        self, request: caption_records_pb2.ReserveSpendRequest, context: Context
    ) -> caption_records_pb2.ReserveSpendResponse:
        """See the contract."""
        exceeded = await self._store.reserve_spend(*parse_reservations(request))
        return caption_records_pb2.ReserveSpendResponse(
            decisions=[
                caption_records_pb2.SpendDecision(exceeded=limit_message(limit) if limit else None)
                for limit in exceeded
            ]
        )

    async def SettleSpend(
        self, request: caption_records_pb2.SettleSpendRequest, context: Context
    ) -> caption_records_pb2.SettleSpendResponse:
        """See the contract."""
        await self._store.settle_spend(parse_settlements(request))
        return caption_records_pb2.SettleSpendResponse()

    async def GetSpend(
        self, request: caption_records_pb2.GetSpendRequest, context: Context
    ) -> caption_records_pb2.GetSpendResponse:
        """See the contract."""
        totals = await self._store.read_totals()
        return caption_records_pb2.GetSpendResponse(
            totals=[total_message(key, spend) for key, spend in totals.items()]
        )

    async def ListSpend(
        self, request: caption_records_pb2.ListSpendRequest, context: Context
    ) -> caption_records_pb2.ListSpendResponse:
        """See the contract."""
        query, size, after, bound_to = parse_usage_list(request)
        page = await self._store.list_usage(query, size, after)
        return caption_records_pb2.ListSpendResponse(
            rows=[usage_message(row, by_batch=query.by_batch) for row in page.rows],
            next_page_token=make_page_token(bound_to, (page.next,) if page.next else None),
        )


def limit_message(limit: Limit) -> caption_records_pb2.SpendLimit:
    """A limit as it was given."""
    return caption_records_pb2.SpendLimit(
        provider=limit.provider, monthly=limit.monthly, micros=limit.micros, tokens=limit.tokens
    )


def total_message(key: TotalKey, spend: Spend) -> caption_records_pb2.SpendTotal:
    """A sum as the contract shows it."""
    return caption_records_pb2.SpendTotal(
        provider=key.provider,
        monthly=key.monthly,
        micros=spend.micros,
        tokens=spend.tokens,
        reserved_micros=spend.reserved_micros,
        reserved_tokens=spend.reserved_tokens,
    )


def usage_message(row: UsageRow, *, by_batch: bool) -> captioner_pb2.CaptionUsage:
    """A row as the contract shows it, with its batch where that was asked for."""
    usage = row.usage
    return captioner_pb2.CaptionUsage(
        provider=row.key.provider,
        day=row.key.day,
        image_count=usage.images,
        usage=common_pb2.TokenUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost=common_pb2.Money(currency_code=_CURRENCY, micros=usage.micros),
        ),
        cached_count=usage.cached,
        unsettled_count=usage.unsettled,
        batch=row.key.batch if by_batch else "",
    )
