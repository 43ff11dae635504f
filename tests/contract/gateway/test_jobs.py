"""The jobs dialect, row by row."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError, UnavailableError
from sightmill.v1 import captioner_pb2, common_pb2
from tests.contract.gateway.conftest import Start
from tests.contract.gateway.stand_in import Image, World
from tests.contract.gateway.wire import BOUNDARY, FORM_TYPE, field_part, file_part, form, post_form

MIB = 1024 * 1024
MISSING = {"detail": [{"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": None}]}
UNKNOWN = "00000000-0000-0000-0000-000000000000"


async def test_submit(client: httpx.AsyncClient, world: World) -> None:
    answer = await post_form(client, "/submit", file_part("file", "meer.png", b"png"))
    assert answer.status_code == 200
    (name,) = world.images
    assert answer.json() == {"job_id": name.removeprefix("images/"), "status": "queued"}
    assert world.received[0].finished
    assert not world.received[0].header.options.skip_caption


@pytest.mark.parametrize(
    ("file_name", "content_type", "accepted"),
    [
        ("a.png", "application/octet-stream", True),
        ("a.JPG", "text/plain", True),
        ("a.jpeg", "", True),
        ("a.gif", "image/png", True),
        ("a", "image/jpg", True),
        ("a", "Image/JPEG; q=1", True),
        ("a.gif", "image/gif", False),
        ("a.txt", "text/plain", False),
        ("png", "text/plain", False),
    ],
)
async def test_type_by_name_or_by_content_type(
    client: httpx.AsyncClient, file_name: str, content_type: str, accepted: bool
) -> None:
    answer = await post_form(client, "/submit", file_part("file", file_name, b"x", content_type))
    if accepted:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 400
        assert answer.json() == {"detail": "Invalid file type. Only PNG and JPG/JPEG images are supported."}


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (form(), FORM_TYPE),
        (form(file_part("other", "a.png", b"x")), FORM_TYPE),
        (form(file_part("file", "", b"")), FORM_TYPE),
        (form(field_part("file", "")), FORM_TYPE),
        (b"", FORM_TYPE),
        (b"{}", {"Content-Type": "application/json"}),
        (b"", {}),
    ],
)
async def test_no_file_is_422_missing(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str]
) -> None:
    answer = await client.post("/submit", content=content, headers=headers)
    assert (answer.status_code, answer.json()) == (422, MISSING)


async def test_text_in_the_file_field_is_422_value_error(client: httpx.AsyncClient) -> None:
    answer = await post_form(client, "/submit", field_part("file", "hello"))
    assert answer.status_code == 422
    assert answer.json() == {
        "detail": [
            {
                "type": "value_error",
                "loc": ["body", "file"],
                "msg": "Value error, Expected UploadFile, received: <class 'str'>",
                "input": "hello",
                "ctx": {"error": {}},
            }
        ]
    }


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"rubbish", FORM_TYPE["Content-Type"]),
        (b"x", "multipart/form-data"),
        (form(file_part("file", "a.png", b"x" * 100))[:-20], FORM_TYPE["Content-Type"]),
        (form(file_part("file", "a.png", b"x" * 100))[:60], FORM_TYPE["Content-Type"]),
        # The file itself is whole; what comes after it is not.
        (file_part("file", "a.png", b"x") + file_part("more", "b.png", b"x")[:70], FORM_TYPE["Content-Type"]),
    ],
)
async def test_broken_multipart_is_400_and_leaves_nothing(
    client: httpx.AsyncClient, world: World, content: bytes, content_type: str
) -> None:
    answer = await client.post("/submit", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)
    assert list(answer.json()) == ["detail"]
    assert not world.images


async def test_sixteen_mebibytes_are_the_most(client: httpx.AsyncClient, world: World) -> None:
    assert (
        await post_form(client, "/submit", file_part("file", "a.png", b"x" * 16 * MIB))
    ).status_code == 200
    answer = await post_form(client, "/submit", file_part("file", "a.png", b"x" * (16 * MIB + 1)))
    assert answer.status_code == 413
    assert list(answer.json()) == ["detail"]
    assert len(world.images) == 1


@pytest.mark.parametrize(
    "reason",
    [
        Reason.IMAGE_UNDECODABLE,
        Reason.IMAGE_EMPTY,
        Reason.IMAGE_FORMAT_UNSUPPORTED,
        Reason.IMAGE_TOO_MANY_PIXELS,
    ],
)
async def test_content_that_is_no_image_is_400(
    client: httpx.AsyncClient, world: World, reason: Reason.ValueType
) -> None:
    world.refused["a.png"] = InvalidArgumentError(reason, "in /secret/path")
    answer = await post_form(client, "/submit", file_part("file", "a.png", b"x"))
    assert (answer.status_code, answer.json()) == (400, {"detail": "File is not a valid image"})


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError(Reason.QUEUE_UNAVAILABLE, "The work queue does not answer.", retry_after_s=2),
        UnavailableError(Reason.STORE_UNAVAILABLE, "The store does not answer.", retry_after_s=2),
        ResourceExhaustedError(Reason.STORAGE_FULL, "The disk is full.", retry_after_s=2),
    ],
)
async def test_what_will_pass_is_503(
    client: httpx.AsyncClient, world: World, error: UnavailableError
) -> None:
    world.refused["a.png"] = error
    answer = await post_form(client, "/submit", file_part("file", "a.png", b"x"))
    assert (answer.status_code, answer.json()) == (503, {"detail": error.message})
    assert answer.headers["retry-after"] == "2"


async def test_without_services_all_is_503(start: Start) -> None:
    client = await start(ingest_address="127.0.0.1:1", catalog_address="127.0.0.1:1")
    answers = [
        await post_form(client, "/submit", file_part("file", "a.png", b"x")),
        await client.get(f"/status/{UNKNOWN}"),
        await client.get(f"/result/{UNKNOWN}"),
    ]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert all(list(answer.json()) == ["detail"] and answer.headers["retry-after"] for answer in answers)


@pytest.mark.parametrize(
    ("state", "status"),
    [(Image.PENDING, "queued"), (Image.PROCESSING, "processing"), (Image.PROCESSED, "done")],
)
async def test_status(
    client: httpx.AsyncClient, world: World, state: Image.State.ValueType, status: str
) -> None:
    job_id = world.add(state).name.removeprefix("images/")
    answer = await client.get(f"/status/{job_id}")
    assert (answer.status_code, answer.json()) == (200, {"job_id": job_id, "status": status})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("state", [Image.PENDING, Image.PROCESSING])
async def test_a_result_that_is_not_ready_is_202(
    client: httpx.AsyncClient, world: World, state: Image.State.ValueType
) -> None:
    job_id = world.add(state).name.removeprefix("images/")
    status = "queued" if state == Image.PENDING else "processing"
    answer = await client.get(f"/result/{job_id}")
    assert answer.status_code == 202
    assert answer.json() == {"detail": f"Job is still {status}. Please check /status/{job_id} for updates."}
    assert answer.headers["cache-control"] == "no-store"


async def test_a_failed_job_names_no_path(client: httpx.AsyncClient, world: World) -> None:
    image = world.add(Image.FAILED)
    image.error.message = "cannot read /secret/path"
    job_id = image.name.removeprefix("images/")
    error = "The image could not be processed"
    status = await client.get(f"/status/{job_id}")
    assert status.json() == {"job_id": job_id, "status": "failed", "error": error}
    result = await client.get(f"/result/{job_id}")
    assert (result.status_code, result.json()) == (400, {"detail": f"Job failed: {error}"})


@pytest.mark.parametrize("job_id", [UNKNOWN, "1", "nonsense", "%00", UNKNOWN.upper() + "x", "a" * 5_000])
@pytest.mark.parametrize("path", ["/status/", "/result/"])
async def test_an_unknown_job_is_404(client: httpx.AsyncClient, world: World, path: str, job_id: str) -> None:
    world.add()
    answer = await client.get(path + job_id)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Job not found"})


async def test_a_deleted_image_is_no_job(client: httpx.AsyncClient, world: World) -> None:
    image = world.add()
    image.delete_time.GetCurrentTime()
    answer = await client.get(f"/status/{image.name.removeprefix('images/')}")
    assert answer.status_code == 404


def described(world: World, **caption: Any) -> Image:
    return world.add(
        width=1920,
        height=1080,
        format=common_pb2.IMAGE_FORMAT_PNG,
        color_mode="RGB",
        caption=captioner_pb2.Caption(**caption),
    )


async def result(client: httpx.AsyncClient, image: Image) -> dict[str, Any]:
    answer = await client.get(f"/result/{image.name.removeprefix('images/')}")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


async def test_a_models_text_is_the_description(client: httpx.AsyncClient, world: World) -> None:
    image = described(world, text="A dog on a beach.", provider="openai")
    body = await result(client, image)
    assert body == {
        "job_id": image.name.removeprefix("images/"),
        "status": "done",
        "description": 'A dog on a beach.\n\n_generated_by: "vision-node-gpt"\n',
        "_generated_by": "vision-node-gpt",
    }


@pytest.mark.parametrize(
    "caption",
    [
        {"text": "Mostly blue.\nSharp.", "degraded": True},
        {"text": "Mostly blue. Sharp.", "provider": "local"},
    ],
)
async def test_without_a_model_the_description_is_measured(
    client: httpx.AsyncClient, world: World, caption: dict[str, Any]
) -> None:
    body = await result(client, described(world, **caption))
    assert body["description"].split("\n") == [
        "Image Description:",
        "- Dimensions: 1920x1080 pixels",
        "- Format: PNG",
        "- Color Mode: RGB",
        "- Content: Mostly blue. Sharp.",
        "  Its pixels are stored in RGB mode.",
        "",
        '_generated_by: "vision-node-gpt"',
        "",
    ]


async def test_a_persons_words_go_before_a_models(client: httpx.AsyncClient, world: World) -> None:
    image = described(world, text="A dog.")
    image.corrections.caption = "Our dog Rex."
    assert (await result(client, image))["description"].startswith("Our dog Rex.\n")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
async def test_head_and_options(client: httpx.AsyncClient, world: World, method: str) -> None:
    job_id = world.add().name.removeprefix("images/")
    answer = await client.request(method, f"/status/{job_id}")
    assert (answer.status_code, answer.content) == (200, b"")
    if method == "OPTIONS":
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_wrong_methods_are_405_with_allow(client: httpx.AsyncClient) -> None:
    answer = await client.get("/submit")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
    assert answer.json()["detail"] == answer.json()["error"] == "Method Not Allowed"
    assert answer.json()["success"] is False


async def test_the_name_is_never_a_path(client: httpx.AsyncClient, world: World) -> None:
    part = file_part("file", "a.png/../../passwd", b"x", "image/png")
    answer = await post_form(client, "/submit", part)
    assert answer.status_code == 200
    assert world.received[0].header.display_name == "passwd"
    assert BOUNDARY not in answer.text
