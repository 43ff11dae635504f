"""The multipart reader: the same parts however a body is cut, bounds, and what breaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedBodyError
from gateway.multipart import BLOCK_BYTES, Limits, MultipartReader, base_name
from services.runtime.errors import Reason, ServiceError

TYPE = "multipart/form-data; boundary=frontier"
LIMITS = Limits(max_file_bytes=10_000, max_body_bytes=100_000, max_parts=20, max_field_bytes=200)
# Bytes that look like the border of a part.
TRICKY = [
    b"\r",
    b"\n",
    b"\r\n",
    b"-",
    b"--",
    b"\r\n--",
    b"\r\n--frontie",
    b"--frontier",
    b"frontier",
    b"x",
    b"\x00",
]
contents = (
    st.lists(st.sampled_from(TRICKY), max_size=12).map(b"".join).filter(lambda c: b"\r\n--frontier" not in c)
)
names = st.text("ab.é ;=/", min_size=1, max_size=8)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Well-formed parts, at times broken off or followed by rubbish."""
    body = b""
    for _ in range(draw(st.integers(0, 4))):
        disposition = f'form-data; name="{draw(names)}"'
        if draw(st.booleans()):
            disposition += f'; filename="{draw(names)}"'
        body += b"--frontier\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n"
        body += draw(contents) + b"\r\n"
    body += draw(
        st.sampled_from([b"--frontier--\r\n", b"--frontier--", b"--frontier--\r\nepilogue", b"", b"rubbish"])
    )
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 3)) == 0 else body


async def read(
    chunks: list[bytes], limits: Limits = LIMITS
) -> tuple[list[tuple[str, str | None, bytes]], str]:
    """Whole parts as (name, file name, content), and the reason of what broke the body."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    parts = []
    try:
        async for part in MultipartReader(body(), TYPE, limits):
            content = b"".join([chunk async for chunk in part.chunks()])
            parts.append((part.name, part.file_name, content))
    except ServiceError as error:
        return parts, error.reason_name
    return parts, ""


def cut(body: bytes, places: list[int]) -> Iterator[bytes]:
    start = 0
    for place in sorted({place % (len(body) + 1) for place in places}):
        yield body[start:place]
        start = place
    yield body[start:]


@given(bodies(), st.lists(st.integers(0, 10_000), max_size=30))
async def test_any_cut_of_a_body_gives_the_same_parts(body: bytes, places: list[int]) -> None:
    chunks = [chunk for chunk in cut(body, places) if chunk]
    assert await read(chunks) == await read([body] if body else [])


@given(bodies())
async def test_byte_by_byte_gives_the_same_parts(body: bytes) -> None:
    assert await read([body[i : i + 1] for i in range(len(body))]) == await read([body] if body else [])


def part(content: bytes, disposition: str = 'form-data; name="f"; filename="a.png"') -> bytes:
    return b"--frontier\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--frontier--\r\n"


async def test_content_that_looks_like_a_border_stays_content() -> None:
    content = b"\r\n--frontie\r\n--fron\r\n-\r\r\n--"
    assert await read([part(content) + END]) == ([("f", "a.png", content)], "")


async def test_parts_that_are_not_read_are_skipped() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield part(b"x" * 5_000)
        yield part(b"y", 'form-data; name="g"') + END

    reader = MultipartReader(body(), TYPE, LIMITS)
    assert [part.name async for part in reader] == ["f", "g"]


async def test_blocks_are_full_but_for_the_last() -> None:
    size = 2 * BLOCK_BYTES + 7

    async def body() -> AsyncIterator[bytes]:
        whole = part(b"z" * size) + END
        for start in range(0, len(whole), 65_536):
            yield whole[start : start + 65_536]

    reader = MultipartReader(body(), TYPE, Limits(2**30, 2**30))
    async for one in reader:
        sizes = [len(block) async for block in one.blocks()]
    assert sizes == [BLOCK_BYTES, BLOCK_BYTES, 7]


async def test_bounds_are_inclusive() -> None:
    limits = Limits(max_file_bytes=10, max_body_bytes=1_000, max_parts=2, max_field_bytes=5)
    field = 'form-data; name="f"'
    assert (await read([part(b"x" * 10) + END], limits))[1] == ""
    assert (await read([part(b"x" * 11) + END], limits))[1] == "IMAGE_TOO_LARGE"
    assert (await read([part(b"x" * 5, field) + END], limits))[1] == ""
    assert (await read([part(b"x" * 6, field) + END], limits))[1] == "INVALID_FIELD"
    assert (await read([part(b"") * 2 + END], limits))[1] == ""
    assert (await read([part(b"") * 3 + END], limits))[1] == "INVALID_FIELD"
    assert (await read([part(b"") + END + b"-" * 1_000], limits))[1] == "IMAGE_TOO_LARGE"


async def test_what_was_whole_before_the_fault_is_given_out() -> None:
    parts, reason = await read([part(b"good") + part(b"x" * 10_001) + END])
    assert (parts, reason) == ([("f", "a.png", b"good")], "IMAGE_TOO_LARGE")
    parts, reason = await read([part(b"good") + part(b"cut")[:-4]])
    assert (parts, reason) == ([("f", "a.png", b"good")], "UPLOAD_INCOMPLETE")


@pytest.mark.parametrize(
    ("disposition", "reason"),
    [
        ("form-data", "INVALID_FIELD"),
        ('attachment; name="f"', "INVALID_FIELD"),
        ("form-data; name=\"f\"; filename*=UTF-8''x", ""),
        ("form-data; name=f", ""),
    ],
)
async def test_parts_need_a_name(disposition: str, reason: str) -> None:
    assert (await read([part(b"x", disposition) + END]))[1] == reason


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=",
    ],
)
def test_other_content_types_are_refused(content_type: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b""

    with pytest.raises(MalformedBodyError) as caught:
        MultipartReader(body(), content_type, LIMITS)
    assert caught.value.reason == Reason.INVALID_FIELD


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("a.png", "a.png"),
        ("/etc/passwd", "passwd"),
        ("C:\\x\\a.png", "a.png"),
        ("a/", ""),
        (" a.png ", "a.png"),
        ("a\r\nSet-Cookie: b.png", "aSet-Cookie: b.png"),
        ("gnp.\u202etxt", "gnp.txt"),
        ("Straße 🏖.png", "Straße 🏖.png"),
    ],
)
def test_base_names(name: str, base: str) -> None:
    assert base_name(name) == base
