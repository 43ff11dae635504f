"""BLIP services over real HTTP: files and paths; picture by picture, in batches, by task; and bad company."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image
from starlette.responses import JSONResponse, Response

from services.captioner.blip.blip_provider import BlipProvider, Call
from services.captioner.blip.blip_service import BlipService
from services.captioner.blip.blip_shared_folder import SharedFolder
from services.captioner.http_client import MAX_ANSWER_BYTES, HttpClient
from services.captioner.picture import Upload
from services.captioner.provider import (
    Access,
    Answer,
    AnswerError,
    Ask,
    BadPictureError,
    ConfigError,
    ParseMode,
    ProviderError,
    SlowAnswerError,
    ThrottledError,
    Tokens,
    TransientError,
)
from tests.servers.providers.fake_blip import COLOURS, FakeBlip, Item, colour_of, fake_blip
from tests.servers.waiting import until

CALLS: tuple[Call, ...] = ("single", "batch", "async")
GATHERING: tuple[Call, ...] = ("batch", "async")
POSTS = {"single": "/caption", "batch": "/batch-caption", "async": "/async-batch-caption"}
A_NAME = re.compile(r"[0-9a-f]{32}\.jpg")


def picture(colour: str) -> Upload:
    target = BytesIO()
    Image.new("RGB", (32, 24), COLOURS[colour]).save(target, "JPEG")
    return Upload(target.getvalue(), 32, 24)


@dataclass(frozen=True, slots=True)
class Way:
    """How pictures travel: as files, or as paths in a folder that the service sees, too."""

    style: Literal["files", "paths"]
    blip: FakeBlip
    http: HttpClient
    folder: Path

    def provider(self, call: Call) -> BlipProvider:
        return BlipProvider(self.http, call, self.shared)

    @property
    def shared(self) -> SharedFolder | None:
        return SharedFolder(self.folder, f"{self.blip.mount}/") if self.style == "paths" else None

    @property
    def lent(self) -> list[Path]:
        return list(self.folder.iterdir())


@pytest.fixture
async def blip(tmp_path: Path) -> AsyncIterator[FakeBlip]:
    folder = tmp_path / "shared"
    folder.mkdir()
    async with fake_blip() as running:
        running.folder = folder
        yield running


@pytest.fixture(params=["files", "paths"])
def way(request: pytest.FixtureRequest, blip: FakeBlip, http: HttpClient) -> Way:
    assert blip.folder
    return Way(request.param, blip, http, blip.folder)


@pytest.fixture
def files(blip: FakeBlip, http: HttpClient) -> Way:
    assert blip.folder
    return Way("files", blip, http, blip.folder)


@pytest.fixture
def paths(blip: FakeBlip, http: HttpClient) -> Way:
    assert blip.folder
    return Way("paths", blip, http, blip.folder)


async def describe(provider: BlipProvider, blip: FakeBlip, colour: str = "red") -> Answer:
    return await provider.describe(picture(colour), Ask(), Access(blip.url))


async def describe_all(provider: BlipProvider, blip: FakeBlip, *colours: str) -> list[Any]:
    """Answers and errors, in order, of calls that begin together."""
    calls = (describe(provider, blip, colour) for colour in colours)
    return await asyncio.gather(*calls, return_exceptions=True)


def texts(outcomes: list[Any]) -> list[str]:
    """What was said of each picture; of those that failed, the class of the error."""
    return [
        outcome.description.text if isinstance(outcome, Answer) else type(outcome).__name__
        for outcome in outcomes
    ]


def about(*colours: str) -> list[str]:
    return [f"a {colour} picture" for colour in colours]


@pytest.mark.parametrize("call", CALLS)
async def test_a_picture_is_described(call: Call, way: Way, blip: FakeBlip) -> None:
    description = (await describe(way.provider(call), blip)).description

    assert (description.text, description.tags, description.objects) == (
        "a red picture", ("red", "picture"), ()
    )  # fmt: skip
    assert (description.language, description.model) == ("en", "blip")
    assert (description.parse_mode, description.tokens) == (ParseMode.JSON, Tokens())
    [request] = blip.calls
    assert request.path == POSTS[call]
    assert request.media_type == ("application/json" if way.style == "paths" else "multipart/form-data")
    assert request.sizes == ((32, 24),)
    assert A_NAME.fullmatch(request.names[0].removeprefix(f"{blip.mount}/" if way.style == "paths" else ""))
    assert way.lent == []


@pytest.mark.parametrize("call", CALLS)
async def test_a_caption_without_tags_is_prose(call: Call, way: Way, blip: FakeBlip) -> None:
    blip.tags = False

    description = (await describe(way.provider(call), blip)).description

    assert (description.text, description.tags) == ("a red picture", ())
    assert description.parse_mode is ParseMode.PROSE


async def test_nothing_is_counted_and_small_pictures_are_enough(files: Way) -> None:
    provider = files.provider("single")

    assert (provider.id, provider.model) == ("blip", "blip")
    assert provider.edge_px(Ask(detail="high")) == 768
    assert provider.expected_tokens(picture("red"), Ask()) == Tokens()


@pytest.mark.parametrize("call", GATHERING)
async def test_calls_in_flight_together_share_requests(call: Call, way: Way, blip: FakeBlip) -> None:
    colours = [*COLOURS, *COLOURS, "red", "blue", "blue", "lime"]

    outcomes = await describe_all(way.provider(call), blip, *colours)

    assert texts(outcomes) == about(*colours)
    assert [len(request.names) for request in blip.calls] == [16, 4]
    names = [name for request in blip.calls for name in request.names]
    assert len(set(names)) == blip.described == len(colours)
    assert way.lent == []


async def test_what_comes_while_a_batch_is_under_way_goes_with_the_next(files: Way, blip: FakeBlip) -> None:
    blip.gate = asyncio.Event()
    provider = files.provider("batch")
    first = asyncio.create_task(describe(provider, blip, "red"))
    await until(lambda: blip.waiting == 1, "the first batch is under way")
    later = asyncio.create_task(describe_all(provider, blip, "blue", "lime", "white"))
    await asyncio.sleep(0)

    blip.gate.set()

    assert texts([await first, *await later]) == about("red", "blue", "lime", "white")
    assert [len(request.names) for request in blip.calls] == [1, 3]


async def test_two_services_share_no_request(files: Way, blip: FakeBlip) -> None:
    async with fake_blip() as other:
        provider = files.provider("batch")
        here, there = await asyncio.gather(
            describe_all(provider, blip, "red", "blue"), describe_all(provider, other, "lime", "white")
        )

    assert texts(here + there) == about("red", "blue", "lime", "white")
    assert [len(request.names) for request in (*blip.calls, *other.calls)] == [2, 2]


def reverse(items: list[Item]) -> list[Item]:
    return items[::-1]


def rename(items: list[Item]) -> list[Item]:
    return [{**item, "image_path": f"/spool/upload-{number}.jpg"} for number, item in enumerate(items)]


def prefix(items: list[Item]) -> list[Item]:
    moved = [{**item, "image_path": f"C:\\spool\\{item['image_path'].split('/')[-1]}"} for item in items]
    return moved[::-1]


def unname(items: list[Item]) -> list[Item]:
    return [{key: value for key, value in item.items() if key != "image_path"} for item in items]


@pytest.mark.parametrize("retouch", [list, reverse, rename, prefix, unname])
@pytest.mark.parametrize("call", GATHERING)
async def test_results_find_their_pictures(
    call: Call, retouch: Callable[[list[Item]], list[Item]], way: Way, blip: FakeBlip
) -> None:
    blip.retouch = retouch
    for blip.bare in (True, False):
        outcomes = await describe_all(way.provider(call), blip, "red", "blue", "lime")
        assert texts(outcomes) == about("red", "blue", "lime")


@pytest.mark.parametrize(
    "dialect",
    [
        {"completed": "COMPLETED", "results_key": "result", "status_path": "/async-batch-caption/status/"},
        {"completed": "completed", "running": "in_progress", "results_key": "results"},
        {"completed": "Completed", "results_key": "results", "status_path": "/task-status/", "bare": True},
        {"accepted_status": 200, "task_id": "0b5c1c52-5e0f-4a2e-9d59-1b1f6f1c9f0a"},
    ],
)
async def test_every_dialect_of_tasks_is_understood(
    dialect: dict[str, Any], way: Way, blip: FakeBlip
) -> None:
    for name, value in dialect.items():
        setattr(blip, name, value)

    outcomes = await describe_all(way.provider("async"), blip, "red", "blue")

    assert texts(outcomes) == about("red", "blue")
    assert len(blip.calls) == 1
    assert way.lent == []


async def test_the_other_status_path_is_tried_once(files: Way, blip: FakeBlip) -> None:
    blip.status_path, blip.looks_needed, blip.task_id = "/task-status/", 3, "t1"

    await describe(files.provider("async"), blip)

    assert blip.looks == ["/async-batch-caption/status/t1", *["/task-status/t1"] * 3]


@pytest.mark.parametrize("call", GATHERING)
async def test_an_error_item_fails_only_its_picture(call: Call, way: Way, blip: FakeBlip) -> None:
    blip.bad = ("red",)

    outcomes = await describe_all(way.provider(call), blip, "blue", "red", "lime")

    assert texts(outcomes) == ["a blue picture", "BadPictureError", "a lime picture"]
    assert "identify" not in outcomes[1].message
    assert blip.described == 3


async def test_a_service_that_misses_the_files_is_a_matter_for_the_operator(
    paths: Way, blip: FakeBlip
) -> None:
    blip.bad, blip.bad_text = ("red",), "File not found: /srv/pictures/x.jpg"
    with pytest.raises(ConfigError) as missed:
        await describe(paths.provider("batch"), blip)
    assert "SIGHTMILL_CAPTIONER_BLIP_SHARED_PATH" in missed.value.message

    blip.mount = "/elsewhere"
    mistaken = BlipProvider(paths.http, "single", SharedFolder(paths.folder, "/srv/pictures"))
    with pytest.raises(ConfigError):
        await describe(mistaken, blip)
    assert paths.lent == []


@pytest.mark.parametrize(
    ("retouch", "expected"),
    [
        # The first picture's result comes twice: the second one has none.
        (lambda items: [items[0], items[0]], ["a red picture", "AnswerError"]),
        (lambda items: items[:1], ["a red picture", "AnswerError"]),
        (lambda _: [], ["AnswerError", "AnswerError"]),
        (lambda items: ["red", None, 7, *items], about("red", "blue")),
        (lambda items: [{**items[0], "caption": " \n"}, items[1]], ["AnswerError", "a blue picture"]),
        (lambda items: [{**items[0], "caption": {"a": 1}}, items[1]], ["AnswerError", "a blue picture"]),
        (lambda items: [{**items[0], "image_path": "../../etc/passwd"}, items[1]], about("red", "blue")),
        (lambda items: [{**items[1], "caption": "mine"}, items[0], *items], ["a red picture", "mine"]),
    ],
)
@pytest.mark.parametrize("call", GATHERING)
async def test_no_picture_gets_the_words_of_another(
    call: Call, retouch: Callable[[list[Any]], list[Any]], expected: list[str], files: Way, blip: FakeBlip
) -> None:
    blip.retouch = retouch

    assert texts(await describe_all(files.provider(call), blip, "red", "blue")) == expected


def page(status: int = 200) -> Response:
    return Response("<html>Bad gateway</html>", status, media_type="text/html")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (JSONResponse({"detail": "boom"}, 500), TransientError),
        (page(503), TransientError),
        (JSONResponse({"detail": "slow down"}, 429, {"Retry-After": "7"}), ThrottledError),
        (JSONResponse({"detail": "who are you"}, 401), ConfigError),
        (JSONResponse({"detail": "Not Found"}, 404), ConfigError),
        (JSONResponse({"detail": "too large"}, 413), BadPictureError),
        (page(), AnswerError),
        (Response(b""), AnswerError),
        (Response(b"[" * 100_000), AnswerError),
        (Response(b" " * (MAX_ANSWER_BYTES + 1)), AnswerError),
        (JSONResponse({"results": "none", "caption": None, "task_id": None}), AnswerError),
    ],
)
@pytest.mark.parametrize("call", CALLS)
async def test_a_failed_request_fails_all_of_its_calls(
    call: Call, answer: Response, kind: type[ProviderError], paths: Way, blip: FakeBlip
) -> None:
    blip.instead[POSTS[call]] = [answer]

    outcomes = await describe_all(paths.provider(call), blip, "red", "blue")

    assert [type(outcome) for outcome in outcomes] == [kind, kind]
    assert outcomes[0] is not outcomes[1]
    assert outcomes[0].retry_after_s == (7.0 if kind is ThrottledError else None)
    assert not any("boom" in outcome.message or "127.0.0.1" in outcome.message for outcome in outcomes)
    assert len(blip.calls) == (2 if call == "single" else 1)
    assert paths.lent == []


async def test_a_task_that_fails_is_transient(way: Way, blip: FakeBlip) -> None:
    blip.completed = "FAILED"

    assert texts(await describe_all(way.provider("async"), blip, "red", "blue")) == ["TransientError"] * 2
    assert way.lent == []


async def test_a_task_that_never_ends_is_left_at_the_deadline(way: Way, blip: FakeBlip) -> None:
    blip.looks_needed = float("inf")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await describe(way.provider("async"), blip)
    seen = len(blip.looks)
    assert seen >= 2

    await until(lambda: not way.lent, "nothing is lent any more")
    await describe(way.provider("single"), blip)
    assert len(blip.looks) == seen


async def test_a_task_is_not_waited_for_without_end(way: Way, blip: FakeBlip) -> None:
    blip.looks_needed = float("inf")
    service = BlipService(way.http, way.shared, task_timeout_s=0.3)

    with pytest.raises(SlowAnswerError):
        await service.caption_by_task(blip.url, [picture("red").jpeg])

    assert way.lent == []


async def test_a_look_that_fails_costs_no_second_task(files: Way, blip: FakeBlip) -> None:
    unwell = page(502)
    done = JSONResponse({"status": "COMPLETED", "result": [{"caption": "a late picture"}]})
    still = JSONResponse({"status": "IN_PROGRESS"})
    blip.instead[blip.status_path] = [unwell, JSONResponse({}, 429), still, unwell, done]
    assert texts([await describe(files.provider("async"), blip)]) == ["a late picture"]

    blip.instead[blip.status_path] = [unwell]
    assert texts(await describe_all(files.provider("async"), blip, "red")) == ["TransientError"]
    assert blip.described == 2


async def test_a_forgotten_task_is_transient_and_a_missing_path_is_not(files: Way, blip: FakeBlip) -> None:
    gone = JSONResponse({"detail": "Task not found"}, 404)
    blip.instead[blip.status_path] = [JSONResponse({"status": "PENDING"}), gone]
    assert texts(await describe_all(files.provider("async"), blip, "red")) == ["TransientError"]

    blip.status_path = "/nowhere/"
    assert texts(await describe_all(files.provider("async"), blip, "red")) == ["ConfigError"]


async def test_a_hostile_task_id_never_becomes_a_path(files: Way, blip: FakeBlip) -> None:
    provider = files.provider("async")
    too_long = "x" * 129
    for task_id in ("../../admin", "a/b", "..", ".", "", too_long, "a?b", "a#b", "%2e", "a b", "a\n", "ä", 5):
        blip.instead["/async-batch-caption"] = [JSONResponse({"task_id": task_id}, 202)]
        with pytest.raises(AnswerError):
            await describe(provider, blip)

    assert blip.looks == []


@pytest.mark.parametrize("call", CALLS)
async def test_cancelling_hangs_up(call: Call, way: Way, blip: FakeBlip) -> None:
    blip.gate = asyncio.Event()
    provider = way.provider(call)
    asked = asyncio.create_task(describe(provider, blip))
    await until(lambda: blip.waiting == 1, "the call arrives")
    assert len(way.lent) == (1 if way.style == "paths" else 0)

    asked.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asked
    await until(lambda: blip.hangups == 1, "the service notices")
    await until(lambda: not way.lent, "nothing is lent any more")
    blip.gate.set()
    assert texts([await describe(provider, blip, "blue")]) == about("blue")
    assert blip.described == 1


@pytest.mark.parametrize("call", GATHERING)
async def test_who_leaves_a_batch_leaves_it_to_the_others(call: Call, way: Way, blip: FakeBlip) -> None:
    blip.gate = asyncio.Event()
    provider = way.provider(call)
    asked = [asyncio.create_task(describe(provider, blip, colour)) for colour in ("red", "blue", "lime")]
    await until(lambda: blip.waiting == 1, "the batch arrives")
    asked[1].cancel()
    await asyncio.wait(asked[1:2])

    blip.gate.set()

    assert texts([await asked[0], await asked[2]]) == about("red", "lime")
    assert (blip.hangups, blip.described) == (0, 3)


@pytest.mark.parametrize("call", GATHERING)
async def test_a_batch_that_everybody_left_is_given_up(call: Call, way: Way, blip: FakeBlip) -> None:
    blip.gate = asyncio.Event()
    provider = way.provider(call)
    asked = [asyncio.create_task(describe(provider, blip, colour)) for colour in ("red", "blue", "lime")]
    await until(lambda: blip.waiting == 1, "the batch arrives")
    patient = asyncio.create_task(describe(provider, blip, "white"))
    await asyncio.sleep(0)

    for call_ in asked:
        call_.cancel()
    await asyncio.wait(asked)

    await until(lambda: blip.hangups == 1, "the service notices")
    blip.gate.set()
    assert texts([await patient]) == about("white")
    assert (blip.described, way.lent) == (1, [])


async def test_who_leaves_before_the_departure_is_not_sent(files: Way, blip: FakeBlip) -> None:
    provider = files.provider("batch")
    asked = [asyncio.create_task(describe(provider, blip, colour)) for colour in ("red", "blue")]
    await asyncio.sleep(0)
    asked[0].cancel()

    assert texts(await asyncio.gather(*asked, return_exceptions=True)) == ["CancelledError", "a blue picture"]
    assert [len(request.names) for request in blip.calls] == [1]


async def test_lent_files_hold_what_was_sent_under_names_of_ours(paths: Way, blip: FakeBlip) -> None:
    blip.gate = asyncio.Event()
    asked = asyncio.create_task(describe_all(paths.provider("batch"), blip, "red", "blue"))
    await until(lambda: blip.waiting == 1, "the batch arrives")

    lent = {path.name: colour_of(Image.open(path)) for path in paths.lent}

    assert sorted(lent.values()) == ["blue", "red"]
    assert all(A_NAME.fullmatch(name) for name in lent)
    [request] = blip.calls
    assert [name.removeprefix(f"{blip.mount}/") for name in request.names] == sorted(
        lent, key=lambda name: lent[name], reverse=True
    )
    blip.gate.set()
    assert texts(await asked) == about("red", "blue")


async def test_without_a_path_of_its_own_the_service_gets_ours(paths: Way, blip: FakeBlip) -> None:
    blip.mount = str(paths.folder)
    same_name = BlipProvider(paths.http, "single", SharedFolder(paths.folder))

    assert texts([await describe(same_name, blip)]) == about("red")


async def test_a_folder_that_is_gone_is_a_matter_for_the_operator(paths: Way, blip: FakeBlip) -> None:
    paths.folder.rmdir()

    with pytest.raises(ConfigError) as failed:
        await describe(paths.provider("single"), blip)

    assert "SIGHTMILL_CAPTIONER_BLIP_SHARED_FOLDER" in failed.value.message
    assert str(paths.folder) not in failed.value.message
    assert blip.calls == []


async def test_cancelling_while_files_are_written_leaves_none(tmp_path: Path) -> None:
    async def lend() -> None:
        async with SharedFolder(tmp_path).lend([bytes(4_000_000)] * 32):
            raise AssertionError("It was to be cancelled before.")

    lending = asyncio.create_task(lend())
    await until(lambda: any(tmp_path.iterdir()), "the first file is there")

    lending.cancel()

    with pytest.raises(asyncio.CancelledError):
        await lending
    await asyncio.get_running_loop().shutdown_default_executor()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", CALLS)
async def test_cancelling_at_any_step_leaves_no_file(call: Call, paths: Way, blip: FakeBlip) -> None:
    provider = paths.provider(call)
    for steps in range(12):
        asked = asyncio.create_task(describe(provider, blip))
        for _ in range(steps):
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])

    await until(lambda: not paths.lent, "nothing is lent any more")
