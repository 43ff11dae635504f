"""What is said about providers and money: the chain with its limits, estimates, and what was spent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, date, datetime

from google.protobuf import timestamp_pb2

from services.captioner.chain import NO_MODEL, Chain
from services.captioner.convert import STATES, ask_from, invalid_field, money
from services.captioner.failures import not_configured
from services.captioner.lanes.lane import LaneStatus
from services.captioner.lanes.link import Link
from services.captioner.local.local_describer import LOCAL_ID
from services.captioner.money.budget import Budget, BudgetStanding
from services.captioner.money.estimate import estimate
from services.captioner.money.prices import PriceTable
from services.captioner.money.usage import spend_query
from services.captioner.prompt import PROMPT_VERSION
from services.captioner.provider import Ask, Detail
from services.captioner.records.port import Records
from services.runtime.errors import FailedPreconditionError, Reason
from sightmill.v1 import captioner_pb2

MAX_ESTIMATED_IMAGES = 100_000_000


def utc_today() -> date:
    """The day in UTC."""
    return datetime.now(UTC).date()


class Reports:
    """Answers that need no picture. ``detail`` is the operator's default."""

    def __init__(
        self,
        chain: Chain,
        budget: Budget,
        prices: PriceTable,
        records: Records,
        detail: Detail,
        today: Callable[[], date] = utc_today,
    ) -> None:
        self._chain = chain
        self._budget = budget
        self._prices = prices
        self._records = records
        self._detail = detail
        self._today = today

    async def list_providers(self) -> captioner_pb2.ListProvidersResponse:
        """The chain in order."""
        return captioner_pb2.ListProvidersResponse(
            providers=[await self._provider(provider) for provider in self._chain.order],
            prompt_version=PROMPT_VERSION,
            settings_digest=self._chain.settings_digest(Ask(detail=self._detail), ()),
        )

    async def estimate(
        self, request: captioner_pb2.EstimateCaptionsRequest
    ) -> captioner_pb2.EstimateCaptionsResponse:
        """What describing so many images would cost; raises InvalidArgumentError, FailedPreconditionError."""
        if not 1 <= request.image_count <= MAX_ESTIMATED_IMAGES:
            raise invalid_field("image_count", f"Estimate for 1 to {MAX_ESTIMATED_IMAGES} images.")
        ask = ask_from(request.options, self._detail)
        provider = request.provider or next(
            (each for each in self._chain.order if each in self._chain.links or each == LOCAL_ID), ""
        )
        if not provider:
            raise FailedPreconditionError(Reason.PROVIDER_NOT_CONFIGURED, NO_MODEL)
        self._chain.check([provider])
        if provider == LOCAL_ID:
            free = captioner_pb2.EstimateCaptionsResponse(provider=provider, model=self._chain.local.model)
            free.cost.CopyFrom(money(0))
            return free
        link = self._chain.links.get(provider)
        if link is None:
            raise not_configured(provider, self._chain.hints[provider])
        return await self._estimate(link, ask, request.image_count)

    async def usage(
        self, request: captioner_pb2.GetCaptionUsageRequest
    ) -> captioner_pb2.GetCaptionUsageResponse:
        """What was spent; raises InvalidArgumentError, UnavailableError (SERVICE_UNAVAILABLE)."""
        found = await self._records.list_spend(spend_query(request, self._today()))
        return captioner_pb2.GetCaptionUsageResponse(usage=found.rows, next_page_token=found.next_page_token)

    async def _estimate(
        self, link: Link, ask: Ask, image_count: int
    ) -> captioner_pb2.EstimateCaptionsResponse:
        standings = await self._budget.standing(link.provider.id)
        found = estimate(link.provider, ask, image_count, link.rate_per_minute(), self._prices, standings)
        answer = captioner_pb2.EstimateCaptionsResponse(
            provider=link.provider.id,
            model=link.provider.model,
            budgets=[_budget(standing) for standing in standings],
            over_budget=found.over_budget,
        )
        answer.usage.input_tokens, answer.usage.output_tokens = found.tokens.input, found.tokens.output
        if found.cost_micros is not None:
            answer.cost.CopyFrom(money(found.cost_micros))
            answer.usage.cost.CopyFrom(money(found.cost_micros))
        if found.duration_s is not None:
            answer.duration.FromMilliseconds(round(found.duration_s * 1_000))
        return answer

    async def _provider(self, provider: str) -> captioner_pb2.Provider:
        if provider == LOCAL_ID:
            return captioner_pb2.Provider(
                id=provider, model=self._chain.local.model, state=captioner_pb2.PROVIDER_STATE_READY
            )
        link = self._chain.links.get(provider)
        if link is None:
            return captioner_pb2.Provider(
                id=provider,
                state=captioner_pb2.PROVIDER_STATE_NOT_CONFIGURED,
                message=self._chain.hints[provider],
            )
        message = _linked(link)
        standings = await self._budget.standing(provider)
        message.budgets.extend(_budget(standing) for standing in standings)
        # A budget says nothing about the provider, but nobody asks it all the same.
        if spent_up := [standing.limit for standing in standings if standing.is_used_up]:
            message.state = captioner_pb2.PROVIDER_STATE_EXHAUSTED
            message.message = self._budget.refusal(spent_up[0])
        if spent := await self._budget.spent(provider):
            message.spent_today.CopyFrom(money(spent[0]))
            message.spent_month.CopyFrom(money(spent[1]))
        if price := self._prices.price(provider, link.provider.model):
            message.input_price.CopyFrom(money(price.input_micros))
            message.output_price.CopyFrom(money(price.output_micros))
        return message


def _linked(link: Link) -> captioner_pb2.Provider:
    status = link.status()
    message = captioner_pb2.Provider(
        id=link.provider.id,
        model=link.provider.model,
        state=STATES[status.state],
        message=status.message,
        in_flight=status.in_flight,
        queued=status.queued,
        lanes=[_lane(lane) for lane in status.lanes],
    )
    message.state_time.FromMilliseconds(int(status.since * 1_000))
    return message


def _lane(lane: LaneStatus) -> captioner_pb2.ProviderLane:
    message = captioner_pb2.ProviderLane(
        state=STATES[lane.state],
        message=lane.message,
        in_flight=lane.in_flight,
        concurrency=lane.concurrency,
        requests_per_minute=lane.requests_limit or 0,
        requests_used=lane.requests_used,
        tokens_per_minute=lane.tokens_limit or 0,
        tokens_used=lane.tokens_used,
    )
    if lane.resume_at is not None:
        message.resume_time.CopyFrom(_moment(lane.resume_at))
    return message


def _budget(standing: BudgetStanding) -> captioner_pb2.CaptionBudget:
    limit = standing.limit
    message = captioner_pb2.CaptionBudget(provider=limit.provider, period="month" if limit.monthly else "day")
    if limit.micros is not None:
        message.limit.CopyFrom(money(limit.micros))
        if standing.used is not None:
            message.used.CopyFrom(money(standing.used))
    if limit.tokens is not None:
        message.token_limit = limit.tokens
        message.tokens_used = standing.used or 0
    return message


def _moment(loop_time: float) -> timestamp_pb2.Timestamp:
    wait_s = loop_time - asyncio.get_running_loop().time()
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMilliseconds(int((time.time() + wait_s) * 1_000))
    return stamp
