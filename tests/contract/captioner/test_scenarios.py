"""What a caller sees of everything that a vendor may answer: gRPC in, a fake vendor's HTTP out.

What takes minutes is in test_scenarios_in_time.py.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from email.utils import formatdate
from io import BytesIO
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from services.runtime.statuses import from_rpc_error
from sightmill.v1 import captioner_pb2
from tests.contract.captioner.vendor_chain import chain_of, describe, sent_as
from tests.contract.captioner.vendor_schemas import problems
from tests.servers.providers import fake_mistral, fake_openai, vendor_faults
from tests.servers.providers.fake_account import FakeAccount, Fault
from tests.servers.providers.fake_compatible import GEMINI_MODEL, OLLAMA_MODEL, FakeGemini, FakeOllama
from tests.servers.providers.fake_mistral import FakeMistral
from tests.servers.providers.fake_openai import FakeOpenAI
from tests.servers.providers.numbered_pictures import numbered_jpeg
from tests.servers.providers.vendor_call import json_reply
from tests.servers.providers.vendor_faults import instead, says
from tests.servers.providers.vendor_plan import KEY, Plan
from tests.servers.providers.vendor_words import caption_of

PICTURE = numbered_jpeg(1)
JSON = '{"caption": "A red bus.", "tags": ["bus"], "objects": ["bus"]}'
EXTRA = {
    "object": "error",
    "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "temperature"], "msg": "Extra"}]},
    "type": "invalid_request_error",
}
NO_SCHEMA = {"error": {"message": "'response_format' of type 'json_schema' is not supported", "code": None}}
BUSY = FakeOllama().busy()
RATE_LIMITED = fake_mistral.rate_limited()
UNAUTHORIZED = instead(json_reply(401, {"detail": "Unauthorized"}))
NOT_IN_PLAN = {"x_ratelimit_limit_req_minute": "0"}


def in_a_second() -> Fault:
    """A date, by the vendor's own clock."""
    now = time.time()
    named = {"Retry_After": formatdate(now + 1, usegmt=True), "Date": formatdate(now, usegmt=True)}
    return instead(RATE_LIMITED, **named)


@dataclass(frozen=True, slots=True)
class Row:
    """The faults of Mistral's first replies, and what comes of it: who answers, after which statuses.

    ``attempt`` is part of what the caller is told about Mistral when another one answered.
    """

    faults: tuple[Fault, ...] = ()
    statuses: tuple[int, ...] = (200,)
    provider: str = "mistral"
    attempt: str = ""
    mode: int = captioner_pb2.PARSE_MODE_JSON
    text: str = ""


ROWS: dict[str, Row] = {
    "ok": Row(),
    "429, seconds": Row((instead(RATE_LIMITED, Retry_After="1"),), (429, 200)),
    "429, a fraction of a second": Row((instead(RATE_LIMITED, Retry_After="0.2"),), (429, 200)),
    "429, milliseconds": Row((instead(RATE_LIMITED, retry_after_ms="200"),), (429, 200)),
    "429, a date": Row((in_a_second(),), (429, 200)),
    "429, longer than the caller waits": Row(
        (instead(RATE_LIMITED, Retry_After="900"),), (429,), "openai", "rate limit"
    ),
    "429, not in the plan": Row((instead(RATE_LIMITED, **NOT_IN_PLAN),), (429,), "openai", "no wait helps"),
    "429, no quota": Row((instead(fake_openai.out_of_quota()),), (429,), "openai", "used up"),
    "402": Row((instead(json_reply(402, {"message": "Payment required"})),), (402,), "openai", "used up"),
    "429, capacity": Row((instead(fake_mistral.over_capacity()),), (429, 200)),
    "503, busy": Row((instead(BUSY, Retry_After="0.2"),), (503, 200)),
    "502, a page": Row((vendor_faults.bad_gateway(),), (502, 200)),
    "502, on and on": Row((vendor_faults.bad_gateway(),) * 3, (502, 502, 502), "openai", "not well"),
    "422, extra_forbidden": Row((instead(json_reply(422, EXTRA)),), (422, 200)),
    "400, response_format": Row((instead(json_reply(400, NO_SCHEMA)),), (400, 200)),
    "401": Row((UNAUTHORIZED,), (401,), "openai", "key"),
    "404": Row((instead(json_reply(404, {"message": "no Route matched"})),), (404,), "openai", "not known"),
    "413": Row((instead(json_reply(413, {})),), (413,), "openai", "picture"),
    "cut by the token limit": Row((vendor_faults.cut_short(),), mode=captioner_pb2.PARSE_MODE_REPAIRED),
    "prose": Row((says("A red bus."),), mode=captioner_pb2.PARSE_MODE_PROSE, text="A red bus."),
    "sections": Row(
        (says("**Caption:** A red bus.\n**Tags:** bus"),),
        mode=captioner_pb2.PARSE_MODE_SECTIONS,
        text="A red bus.",
    ),
    "a refusal": Row((says("I'm sorry, I can't help with that."),), provider="openai", attempt="declined"),
    "a refusal in its own field": Row((says(None, refusal="No."),), provider="openai", attempt="declined"),
    "a content filter": Row((says("", "content_filter"),), provider="openai", attempt="declined"),
    "nothing": Row((says(""),), provider="openai", attempt="empty"),
    "only reasoning": Row(
        (says("", reasoning=f"A bus, I think. {JSON}"),),
        mode=captioner_pb2.PARSE_MODE_REPAIRED,
        text="A red bus.",
    ),
    "a list of chunks": Row(
        (says([{"type": "thinking", "thinking": []}, {"type": "text", "text": JSON}]),), text="A red bus."
    ),
    "a slow body": Row((vendor_faults.slow_body(),)),
    "compressed": Row((vendor_faults.compressed(),)),
}


@pytest.mark.parametrize("name", ROWS)
async def test_what_the_caller_sees(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    mistral, openai = FakeAccount(FakeMistral()), FakeAccount(FakeOpenAI())
    mistral.faults.extend(row.faults)
    async with chain_of(tmp_path, mistral=mistral, openai=openai) as captioner:
        caption = await describe(captioner, PICTURE)

    assert [status for _, status in mistral.calls] == list(row.statuses)
    assert caption.provider == row.provider
    assert not caption.degraded
    # Where nobody says how long, it waits five seconds.
    assert caption.elapsed.ToTimedelta().total_seconds() < 5.0
    assert caption.parse_mode == row.mode
    assert caption.text == (row.text or caption_of(sent_as(PICTURE)))
    if row.provider == "mistral":
        assert not caption.attempts
        assert not openai.calls
        assert mistral.billed == {sent_as(PICTURE): 1}
    else:
        [attempt] = caption.attempts
        assert attempt.provider == "mistral"
        assert row.attempt in attempt.message
        assert openai.billed == {sent_as(PICTURE): 1}


async def test_an_answer_that_is_cut_off_on_the_way_is_asked_for_again(tmp_path: Path) -> None:
    """It was charged for and never arrived: this is the one case that costs twice, and it is counted."""
    mistral = FakeAccount(FakeMistral())
    mistral.faults.append(vendor_faults.cut())
    async with chain_of(tmp_path, mistral=mistral) as captioner:
        caption = await describe(captioner, PICTURE)

    assert caption.text == caption_of(sent_as(PICTURE))
    assert mistral.billed == {sent_as(PICTURE): 2}


async def test_without_any_model_left_the_measurements_speak(tmp_path: Path) -> None:
    mistral, openai = FakeAccount(FakeMistral()), FakeAccount(FakeOpenAI())
    mistral.faults.append(UNAUTHORIZED)
    openai.faults.append(instead(fake_openai.out_of_quota()))
    async with chain_of(tmp_path, mistral=mistral, openai=openai) as captioner:
        caption = await describe(captioner, PICTURE)
        listed = await captioner.stub.ListProviders(captioner_pb2.ListProvidersRequest())

    assert (caption.provider, caption.degraded) == ("local", True)
    assert [attempt.provider for attempt in caption.attempts] == ["mistral", "openai"]
    assert "The key is not accepted" in caption.degraded_reason
    assert "used up" in caption.degraded_reason
    assert [provider.state for provider in listed.providers] == [
        captioner_pb2.PROVIDER_STATE_OPEN,
        captioner_pb2.PROVIDER_STATE_EXHAUSTED,
        captioner_pb2.PROVIDER_STATE_READY,
    ]


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (vendor_faults.bad_gateway(), "UNAVAILABLE", "PROVIDER_UNAVAILABLE"),
        (instead(RATE_LIMITED, Retry_After="900"), "UNAVAILABLE", "PROVIDER_UNAVAILABLE"),
        (instead(RATE_LIMITED, **NOT_IN_PLAN), "RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED"),
        (UNAUTHORIZED, "FAILED_PRECONDITION", "PROVIDER_NOT_CONFIGURED"),
        (instead(json_reply(415, {})), "INVALID_ARGUMENT", "IMAGE_UNDECODABLE"),
        (says(None, refusal="No."), "FAILED_PRECONDITION", "PROVIDER_REFUSED"),
    ],
    ids=["502", "429, a long wait", "429, not in the plan", "401", "415", "a refusal"],
)
async def test_alone_its_failure_is_the_callers_error(
    fault: Fault, code: str, reason: str, tmp_path: Path
) -> None:
    mistral = FakeAccount(FakeMistral())
    mistral.faults.extend([fault] * 3)
    async with chain_of(tmp_path, providers="mistral", mistral=mistral) as captioner:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await describe(captioner, PICTURE)

    error = from_rpc_error(failed.value)
    assert (error.code.name, error.reason_name) == (code, reason)
    assert KEY not in str(failed.value)


async def test_gemini_and_ollama_answer_as_compatible_servers(tmp_path: Path) -> None:
    gemini, ollama = FakeAccount(FakeGemini()), FakeAccount(FakeOllama())
    for account, model in ((gemini, GEMINI_MODEL), (ollama, OLLAMA_MODEL)):
        async with chain_of(tmp_path, compatible=account, compatible_model=model) as captioner:
            caption = await describe(captioner, PICTURE)
        assert (caption.provider, caption.model) == ("compatible", model)
        assert caption.text == caption_of(sent_as(PICTURE))


async def test_openai_answers_over_its_responses_interface(tmp_path: Path) -> None:
    openai = FakeAccount(FakeOpenAI())
    async with chain_of(tmp_path, openai=openai, openai_api="responses") as captioner:
        caption = await describe(captioner, PICTURE)

    assert caption.text == caption_of(sent_as(PICTURE))
    assert caption.usage.output_tokens > 0
    [(call, reply)] = openai.exchanges
    assert call.path == "/v1/responses"
    assert problems("openai-responses", "request", json.loads(call.body)) == []
    assert problems("openai-responses", "200", reply.json) == []


async def test_a_picture_of_twelve_megabytes_is_sent_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (2_000, 2_100, 3), dtype=np.uint8)
    target = BytesIO()
    Image.fromarray(noise).save(target, "PNG", compress_level=1)
    mistral = FakeAccount(FakeMistral())
    async with chain_of(tmp_path, mistral=mistral, providers="mistral") as captioner:
        caption = await describe(captioner, target.getvalue())

    assert len(target.getvalue()) > 12_000_000
    assert caption.text == caption_of(sent_as(target.getvalue()))
    assert len(mistral.exchanges[0][0].body) < 2_000_000


async def test_the_requests_of_the_service_and_the_answers_fit_the_schemas(tmp_path: Path) -> None:
    mistral, openai = FakeAccount(FakeMistral()), FakeAccount(FakeOpenAI())
    mistral.faults.append(instead(json_reply(400, NO_SCHEMA)))
    openai.faults.append(instead(json_reply(400, NO_SCHEMA)))
    async with chain_of(tmp_path, mistral=mistral) as captioner:
        assert (await describe(captioner, PICTURE)).provider == "mistral"
    async with chain_of(tmp_path, openai=openai) as captioner:
        assert (await describe(captioner, PICTURE)).provider == "openai"

    for name, account in (("mistral", mistral), ("openai", openai)):
        assert len(account.exchanges) >= 2
        for call, reply in account.exchanges:
            assert problems(name, "request", json.loads(call.body)) == []
            assert reply.status == 400 or problems(name, "200", reply.json) == []


async def test_two_keys_share_the_work_and_one_that_is_refused_is_left_out(tmp_path: Path) -> None:
    mistral = FakeAccount(FakeMistral(), Plan(keys=frozenset({KEY})))
    async with chain_of(tmp_path, mistral=mistral, mistral_api_key=f"revoked,{KEY}") as captioner:
        captions = [await describe(captioner, numbered_jpeg(number)) for number in range(4)]
        listed = await captioner.stub.ListProviders(captioner_pb2.ListProvidersRequest())

    assert {caption.provider for caption in captions} == {"mistral"}
    assert mistral.statuses == {401: 1, 200: 4}
    assert [lane.state for lane in listed.providers[0].lanes] == [
        captioner_pb2.PROVIDER_STATE_OPEN,
        captioner_pb2.PROVIDER_STATE_READY,
    ]
