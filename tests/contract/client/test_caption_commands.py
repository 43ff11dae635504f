"""`sightmill captions` and `providers` as processes against a scripted captioner and a real one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from PIL import Image

from sightmill.v1 import captioner_pb2, common_pb2
from tests.contract.client.command_line import ROOT, WAIT_S, Ended, fits, is_harmless, run_command
from tests.contract.client.scripted_server import ScriptedServer, build_status, usage_page
from tests.servers.providers.vendor_plan import KEY
from tests.servers.providers.vendor_process import VendorProcess

# Colours, a title, a line of its own, a C1 control, text from right to left, and markup, closed and not.
HOSTILE = "\x1b[31mred\x1b]0;title\x07\n\r\x9b2J\u202e[bold]b[/bold] [/nope]"
HARMLESS = "[31mred ]0;title 2J [bold]b[/bold] [/nope]"
LONG = "The key is not accepted. " * 6
DAY = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def usd(micros: int) -> common_pb2.Money:
    return common_pb2.Money(currency_code="USD", micros=micros)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"the bytes")
    return path


def lines_of(ended: Ended) -> list[str]:
    assert (ended.code, ended.err) == (0, "")
    assert fits(ended.out), ended.out
    assert is_harmless(ended.out), ended.out
    return [line.rstrip() for line in ended.out.splitlines()]


async def test_ask_shows_words_and_who_said_them_for_how_much(server: ScriptedServer, photo: Path) -> None:
    caption = captioner_pb2.Caption(
        text="A boat.",
        tags=["boat", "sea"],
        objects=["mast"],
        provider="mistral",
        model="small",
        parse_mode=captioner_pb2.PARSE_MODE_JSON,
    )
    caption.usage.MergeFrom(common_pb2.TokenUsage(input_tokens=1_190, output_tokens=26, cost=usd(240)))
    caption.elapsed.FromMilliseconds(1_240)
    caption.attempts.add(provider="openai", message="Over its budget.")
    caption.attributes["plants"] = ["reed"]
    server.captioner.caption = caption
    options = ["-p", "mistral", "--language", "de", "--prompt", "Which plants?", "--again"]
    assert lines_of(await run_command(server.address, "captions", "ask", photo, *options)) == [
        "Caption     A boat.",
        "Tags        boat, sea",
        "Objects     mast",
        'Besides     {"plants": ["reed"]}',
        "Said by     mistral, small",
        "Not openai  Over its budget.",
        "Tokens      1,190 in, 26 out",
        "Cost        USD 0.00024",
        "Time        1.24 s",
    ]
    (asked,) = server.captioner.captioned
    assert asked.image.content == b"the bytes"
    assert asked.options == captioner_pb2.CaptionOptions(
        providers=["mistral"], language="de", prompt="Which plants?", skip_cache=True
    )
    (document,) = (await run_command(server.address, "captions", "ask", photo, "--json")).documents
    assert (document["text"], document["usage"]["cost"]["micros"]) == ("A boat.", "240")
    assert server.captioner.captioned[1].options == captioner_pb2.CaptionOptions(language="en")


async def test_ask_says_when_less_or_nothing_was_to_be_had(server: ScriptedServer, photo: Path) -> None:
    caption = server.captioner.caption
    caption.text, caption.provider, caption.model = "A grey picture.", "local", "measurements-1"
    caption.degraded_reason = "No model answered. mistral: No key."
    caption.attempts.add(provider="mistral", message="No key.")
    assert lines_of(await run_command(server.address, "captions", "ask", photo)) == [
        "Caption          A grey picture.",
        "Said by          local, measurements-1",
        "Less than asked  No model answered. mistral: No key.",
        "Cost             none, no model was asked",
    ]
    server.captioner.caption = captioner_pb2.Caption(
        provider="blip", parse_mode=captioner_pb2.PARSE_MODE_PROSE
    )
    assert "Cost     not known" in lines_of(await run_command(server.address, "captions", "ask", photo))
    server.captioner.caption = captioner_pb2.Caption(provider="blip", model="base", cached=True)
    lines = lines_of(await run_command(server.address, "captions", "ask", photo))
    assert lines == ["Said by  blip, base (cached)", "Cost     none"]


async def test_what_fails_is_said_in_one_sentence_with_the_way_out(
    server: ScriptedServer, photo: Path
) -> None:
    refused = build_status(grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_REFUSED", f"No. {HOSTILE}")
    for arguments in (
        ("captions", "ask", photo),
        ("captions", "estimate", "5"),
        ("captions", "usage"),
        ("providers", "ls"),
        ("providers", "show", "mistral"),
        ("providers", "test", "mistral", photo),
    ):
        server.captioner.failures.append(refused)
        ended = await run_command(server.address, *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert f"PROVIDER_REFUSED No. {HARMLESS}" in " ".join(ended.err.split())
        assert is_harmless(ended.err)
        assert fits(ended.err), ended.err


async def test_wrong_arguments_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    missing = tmp_path / "missing.jpg"
    for arguments in (("captions", "ask", missing), ("providers", "test", "mistral", missing)):
        ended = await run_command("127.0.0.1:1", *arguments)
        assert (ended.code, ended.out, "does not exist" in ended.err) == (2, "", True)
    for count in ("0", "100000001", "many"):
        assert (await run_command("127.0.0.1:1", "captions", "estimate", count)).code == 2


async def test_a_server_that_is_away_is_named(photo: Path) -> None:
    for arguments in (("captions", "ask", photo), ("providers", "ls", "--timeout", "1")):
        ended = await run_command("127.0.0.1:1", *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert "SERVICE_UNAVAILABLE Nothing answers at 127.0.0.1:1." in " ".join(ended.err.split())


async def test_an_estimate_says_cost_time_and_budgets(server: ScriptedServer) -> None:
    found = captioner_pb2.EstimateCaptionsResponse(provider="mistral", model="small", cost=usd(44_505_000))
    found.usage.input_tokens, found.usage.output_tokens = 136_700_000, 40_000_000
    found.duration.FromTimedelta(timedelta(days=1, hours=3, minutes=46, seconds=40))
    found.budgets.add(provider="mistral", period="day", limit=usd(50_000_000), used=usd(383))
    found.budgets.add(period="month", limit=usd(1_000_000))
    found.budgets.add(period="day", token_limit=9_000_000, tokens_used=2_387)
    found.budgets.add(period="day")
    server.captioner.estimate = found
    asked = await run_command(server.address, "captions", "estimate", "100000", "-p", "mistral", "--low")
    assert lines_of(asked) == [
        "Provider         mistral, small",
        "Cost, at most    USD 44.505",
        "Tokens, at most  136,700,000 in, 40,000,000 out",
        "Time, about      1 d 3 h",
        "",
        "Budget of      For a          Used             Limit",
        "mistral        day    USD 0.000383         USD 50.00",
        "all providers  month     not known          USD 1.00",
        "all providers  day    2,387 tokens  9,000,000 tokens",
        "all providers  day        0 tokens          0 tokens",
    ]
    (request,) = server.captioner.estimates
    assert (request.image_count, request.provider) == (100_000, "mistral")
    assert request.options.detail == captioner_pb2.CAPTION_DETAIL_LOW


async def test_an_estimate_over_budget_ends_with_1(server: ScriptedServer) -> None:
    server.captioner.estimate = captioner_pb2.EstimateCaptionsResponse(
        provider="new", model="unheard-of", over_budget=True
    )
    over = await run_command(server.address, "captions", "estimate", "3")
    assert (over.code, over.err, fits(over.out)) == (1, "", True)
    assert [line.rstrip() for line in over.out.splitlines()] == [
        "Provider       new, unheard-of",
        "Cost, at most  price of the model not known",
        "Time, about    not known, no rate limit is set or learnt",
        "Over budget    yes, it takes more than one of the budgets has left",
    ]
    as_json = await run_command(server.address, "captions", "estimate", "3", "--json")
    assert (as_json.code, as_json.documents[0]["over_budget"]) == (1, True)


def usage_row(day: str, provider: str, images: int, micros: int) -> captioner_pb2.CaptionUsage:
    row = captioner_pb2.CaptionUsage(day=day, provider=provider, image_count=images)
    row.usage.MergeFrom(common_pb2.TokenUsage(input_tokens=images * 1_367, output_tokens=images * 400))
    row.usage.cost.CopyFrom(usd(micros))
    return row


async def test_usage_of_days_adds_up(server: ScriptedServer) -> None:
    free = captioner_pb2.CaptionUsage(day="2026-03-03", provider="blip-local", image_count=7)
    first = usage_row("2026-03-04", "mistral", 999_999, 1_234_567_890_123)
    first.cached_count, first.unsettled_count = 12, 2
    last = usage_row("2026-03-02", "compatible", 10, -240)
    server.captioner.pages = {"": usage_page("more", first, free), "more": usage_page("", last)}
    assert lines_of(await run_command(server.address, "captions", "usage", "--days", "3")) == [
        "Day         Provider     Images  Cached    Input   Output                  Cost",
        "2026-03-04  mistral     999,999      12  1,367 M  400.0 M  USD 1,234,567.890123",
        "2026-03-03  blip-local        7       0        0        0             not known",
        "2026-03-02  compatible       10       0   13,670    4,000          -USD 0.00024",
        "",
        "Together  USD 1,234,567.889883 for 1,000,016 images",
        "Calls     2 without an answer that may have been billed; their estimate is in",
        "          the cost",
    ]
    asked = server.captioner.reports[0]
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = asked.time_range.end_time.ToDatetime(UTC)
    # Midnight may pass between the two.
    assert today <= ends <= today + timedelta(days=1)
    assert ends - asked.time_range.start_time.ToDatetime(UTC) == timedelta(days=3)
    assert (asked.by_batch, asked.batch) == (False, "")
    documents = await run_command(server.address, "captions", "usage", "--json")
    assert [row["day"] for row in documents.documents] == ["2026-03-04", "2026-03-03", "2026-03-02"]
    cut = await run_command(server.address, "captions", "usage", "--limit", "1")
    assert (cut.out.count("2026-03"), cut.err) == (1, "There are more: --limit is 1.\n")
    # One more than is shown tells whether there are more.
    assert [each.page_size for each in server.captioner.reports if not each.page_token] == [101, 101, 2]


async def test_usage_by_batch_folds_long_names(server: ScriptedServer) -> None:
    row = usage_row("2026-03-04", "compatible", 123_456, 12_345_678)
    row.batch = f"batches/{'holiday-' * 5}"
    other = usage_row("2026-03-04", "compatible", 1, 100)
    other.batch = "batches/12"
    server.captioner.pages[""] = usage_page("", row, other)
    assert lines_of(await run_command(server.address, "captions", "usage", "--by-batch")) == [
        "Day         Provider    Batch             Images  Cached   Tokens           Cost",
        "2026-03-04  compatible  holiday-holiday  123,456       0  218.1 M  USD 12.345678",
        "                        -holiday-holida",
        "                        y-holiday-",
        "2026-03-04  compatible  12                     1       0    1,767     USD 0.0001",
        "",
        "Together  USD 12.345778 for 123,457 images",
    ]
    server.captioner.pages[""].ClearField("usage")
    only = await run_command(server.address, "captions", "usage", "--batch", "7")
    assert lines_of(only) == ["Nothing was spent in these days."]
    assert [(each.by_batch, each.batch) for each in server.captioner.reports] == [
        (True, ""),
        (False, "batches/7"),
    ]
    nothing = await run_command(server.address, "captions", "usage", "--json")
    assert (nothing.code, nothing.out) == (0, "")


async def test_the_chain_is_a_table_with_what_to_do_below_it(server: ScriptedServer) -> None:
    server.captioner.chain.providers.add(
        id="compatible",
        model="Qwen/Qwen2.5-VL-72B-Instruct-AWQ",
        state="PROVIDER_STATE_THROTTLED",
        in_flight=128,
        queued=10_000,
        spent_today=usd(1_234_567_890_123),
    )
    server.captioner.chain.providers.add(
        id="blip-local", state="PROVIDER_STATE_NOT_CONFIGURED", message=f"{LONG}Set it."
    )
    # A later server may know states that this client does not.
    server.captioner.chain.providers.add(id="local", model="measurements-1", state=99)
    listed = await run_command(server.address, "providers", "ls")
    assert lines_of(listed)[:-3] == [
        "Provider    State           Model           Flight   Queue                 Today",
        "compatible  throttled       Qwen/Qwen2.5-V     128  10,000  USD 1,234,567.890123",
        "                            L-72B-Instruct",
        "                            -AWQ",
        "blip-local  not configured                       0       0",
        "local       not known       measurements-1       0       0",
        "",
    ]
    assert listed.words.endswith(f" blip-local {LONG}Set it.")
    (document,) = (await run_command(server.address, "providers", "ls", "--json")).documents
    assert [each["id"] for each in document["providers"]] == ["compatible", "blip-local", "local"]
    server.captioner.chain.ClearField("providers")
    assert lines_of(await run_command(server.address, "providers", "ls")) == ["No provider is in the chain."]


def script_mistral(server: ScriptedServer) -> captioner_pb2.Provider:
    provider = server.captioner.chain.providers.add(
        id="mistral",
        model="small",
        state="PROVIDER_STATE_EXHAUSTED",
        message="Raise the budget.",
        input_price=usd(150_000),
        output_price=usd(600_000),
        spent_today=usd(5_000_000),
    )
    provider.state_time.FromDatetime(DAY)
    provider.budgets.add(provider="mistral", period="day", limit=usd(5_000_000), used=usd(5_000_000))
    provider.lanes.add(
        state="PROVIDER_STATE_READY",
        in_flight=128,
        concurrency=256,
        requests_per_minute=60_000,
        requests_used=12_345,
        tokens_per_minute=10_000_000,
        tokens_used=1_234_567,
    )
    provider.lanes.add(state="PROVIDER_STATE_OPEN", concurrency=8, message=LONG).resume_time.FromDatetime(DAY)
    return provider


async def test_a_provider_is_shown_with_lanes_and_budgets(server: ScriptedServer) -> None:
    script_mistral(server)
    server.captioner.chain.providers.add(id="local", state="PROVIDER_STATE_READY")
    assert lines_of(await run_command(server.address, "providers", "show", "mistral")) == [
        "Provider          mistral",
        "Model             small",
        "State             exhausted since 2026-03-04 05:06",
        "What to do        Raise the budget.",
        "A million tokens  USD 0.15 of prompts, USD 0.60 of answers",
        "Spent today       USD 5.00",
        "This month        not known",
        "",
        "Lane  State      Flight      Requests/min               Tokens/min",
        "   1  ready  128 of 256  12,345 of 60,000  1,234,567 of 10,000,000",
        "   2  open       0 of 8                 0                        0",
        "",
        "Budget of  For a      Used     Limit",
        "mistral    day    USD 5.00  USD 5.00",
        "",
        "Lane 2  The key is not accepted. The key is not accepted. The key is not",
        "        accepted. The key is not accepted. The key is not accepted. The key is",
        "        not accepted.",
        "        Asked again at 05:06:07.",
    ]
    shown = lines_of(await run_command(server.address, "providers", "show", "local"))
    assert shown == ["Provider  local", "State     ready"]
    (document,) = (await run_command(server.address, "providers", "show", "mistral", "--json")).documents
    assert (document["id"], len(document["lanes"])) == ("mistral", 2)
    unknown = await run_command(server.address, "providers", "show", "nope", "--json")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err == "nope: not in the chain; there are: mistral, local\n"
    server.captioner.chain.ClearField("providers")
    nobody = await run_command(server.address, "providers", "show", "nope")
    assert (nobody.code, nobody.err) == (1, "nope: not in the chain; there are: none\n")


async def test_a_provider_is_tested(server: ScriptedServer, photo: Path) -> None:
    server.captioner.tested.caption.text = "A boat."
    server.captioner.tested.caption.provider = "mistral"
    tested = await run_command(server.address, "providers", "test", "mistral", photo)
    assert lines_of(tested)[0] == "Caption  A boat."
    (asked,) = server.captioner.tests
    assert (asked.provider, asked.image.content) == ("mistral", b"the bytes")
    error = build_status(grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE", "No connection.", 1.0)
    server.captioner.tested = captioner_pb2.TestProviderResponse(error=error)
    failed = await run_command(server.address, "providers", "test", "mistral", photo)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == "mistral: PROVIDER_UNAVAILABLE  No connection.\n"
    as_json = await run_command(server.address, "providers", "test", "mistral", photo, "--json")
    assert (as_json.code, as_json.err) == (1, "")
    assert as_json.documents[0]["error"]["message"] == "No connection."


async def test_nothing_in_an_answer_steers_the_terminal(server: ScriptedServer, photo: Path) -> None:
    money = common_pb2.Money(currency_code=HOSTILE, micros=1)
    caption = captioner_pb2.Caption(
        text=HOSTILE, tags=[HOSTILE], objects=[HOSTILE], provider=HOSTILE, model=HOSTILE
    )
    caption.degraded_reason, caption.attributes[HOSTILE] = HOSTILE, HOSTILE
    caption.attempts.add(provider=HOSTILE, message=f"Other: {HOSTILE}")
    caption.usage.cost.CopyFrom(money)
    server.captioner.caption = caption
    server.captioner.tested.caption.CopyFrom(caption)
    provider = script_mistral(server)
    for each in (provider, server.captioner.chain.providers.add()):
        each.id = each.model = each.message = HOSTILE
        each.spent_today.CopyFrom(money)
    provider.lanes[1].message = HOSTILE
    provider.budgets.add(provider=HOSTILE, period=HOSTILE, limit=money, used=money)
    server.captioner.estimate.MergeFrom(
        captioner_pb2.EstimateCaptionsResponse(provider=HOSTILE, model=HOSTILE, cost=money)
    )
    server.captioner.estimate.budgets.extend(provider.budgets)
    row = captioner_pb2.CaptionUsage(day=HOSTILE, provider=HOSTILE, batch=f"batches/{HOSTILE}")
    row.usage.cost.CopyFrom(money)
    server.captioner.pages[""] = usage_page("", row)
    for arguments in (
        ("captions", "ask", photo),
        ("captions", "estimate", "5"),
        ("captions", "usage"),
        ("captions", "usage", "--by-batch"),
        ("providers", "ls"),
        ("providers", "test", "mistral", photo),
    ):
        ended = await run_command(server.address, *arguments, columns=400)
        assert (ended.code, ended.err) == (0, "")
        assert is_harmless(ended.out), ended.out
        assert HARMLESS in ended.words
    unknown = await run_command(server.address, "providers", "show", "mistral", columns=400)
    assert (unknown.code, is_harmless(unknown.err), HARMLESS in unknown.err) == (1, True, True)
    provider.id = "mistral"
    shown = await run_command(server.address, "providers", "show", "mistral", columns=400)
    assert (shown.code, is_harmless(shown.out), HARMLESS in shown.words) == (0, True, True)


async def test_the_help_teaches_by_examples() -> None:
    for command, example in (
        (("captions",), "sightmill captions estimate 100000"),
        (("captions", "ask"), "sightmill captions ask photo.jpg --language de"),
        (("captions", "estimate"), "sightmill captions estimate 100000 --provider openai --low"),
        (("captions", "usage"), "sightmill captions usage --by-batch"),
        (("providers",), "sightmill providers test mistral photo.jpg"),
    ):
        ended = await run_command("127.0.0.1:1", *command, "--help")
        assert any(line.strip().endswith(example) for line in ended.out.splitlines()), ended.out
        assert lines_of(ended)
        assert "..." not in ended.out.replace("ARGS]...", "").replace("pt-BR, ...", "")


@asynccontextmanager
async def running_captioner(data_dir: Path, vendor: str) -> AsyncIterator[str]:
    """The address of a captioner process without a catalog; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.captioner"),
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("SIGHTMILL_")},
            "PYTHONPATH": str(ROOT),
            "SIGHTMILL_DATA_DIR": str(data_dir),
            "SIGHTMILL_CAPTIONER_LISTEN": "127.0.0.1:0",
            "SIGHTMILL_CAPTIONER_KEEP_RECORDS": "false",
            "SIGHTMILL_CAPTIONER_PROVIDERS": "mistral,local",
            "SIGHTMILL_LOG_LEVEL": "error",
            "MISTRAL_API_KEY": KEY,
            "MISTRAL_BASE_URL": f"{vendor}/v1",
        },
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        async with asyncio.timeout(WAIT_S):
            ready = (await process.stdout.readline()).decode()
        yield ready.split()[2].removeprefix("grpc=")
    finally:
        process.kill()
        await process.communicate()


async def test_a_running_captioner_is_asked_shown_and_tested(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.linear_gradient("L").save(photo)
    vendor = VendorProcess("mistral", tmp_path / "journal")
    await asyncio.to_thread(vendor.start)
    try:
        async with running_captioner(tmp_path / "data", vendor.url) as address:
            asked = await run_command(address, "captions", "ask", photo, "--provider", "mistral")
            assert lines_of(asked)[0].startswith("Caption  A picture that is known as ")
            assert "Said by  mistral, mistral-small-latest" in lines_of(asked)
            tested = await run_command(address, "providers", "test", "mistral", photo)
            assert lines_of(tested)[:3] == lines_of(asked)[:3]
            shown = await run_command(address, "providers", "show", "mistral")
            assert "   1  ready  0 of 8             2" in [line[:33] for line in lines_of(shown)]
            listed = lines_of(await run_command(address, "providers", "ls"))
            assert listed[1].split() == ["mistral", "ready", "mistral-small-latest", "0", "0"]
            estimate = lines_of(await run_command(address, "captions", "estimate", "1000"))
            assert estimate[0] == "Provider         mistral, mistral-small-latest"
            unknown = await run_command(address, "captions", "ask", photo, "--provider", "nope")
            assert (unknown.code, unknown.out) == (1, "")
            assert "PROVIDER_NOT_CONFIGURED Provider 'nope' cannot be asked." in " ".join(unknown.err.split())
            bad = tmp_path / "bad.jpg"
            bad.write_bytes(b"not a picture")
            assert "bad.jpg: IMAGE_UN" in (await run_command(address, "captions", "ask", bad)).err
        assert vendor.billed().total() == 2
    finally:
        vendor.kill()
