"""Small files that would become large pictures, long work or much memory."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.ingest.guard import Inspection, Limits, inspect
from services.runtime.errors import InvalidArgumentError, Reason
from tests.unit.ingest import pictures

LONGEST_S = 5.0
MOST_BYTES = 400 * 1024 * 1024
HOSTILE = Path(__file__).parents[4] / "shared" / "data" / "hostile"
UNDECODABLE, TOO_MANY = Reason.IMAGE_UNDECODABLE, Reason.IMAGE_TOO_MANY_PIXELS


@contextmanager
def bounded() -> Iterator[None]:
    """Time and memory that the work inside may take."""
    before_bytes = _reset_peak()
    started = time.perf_counter()
    yield
    assert time.perf_counter() - started < LONGEST_S
    assert _peak_bytes() - before_bytes < MOST_BYTES


def _reset_peak() -> int:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak_bytes()  # no such means here: only what is above all that was before is seen
    return _peak_bytes()


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


REFUSED: dict[str, tuple[Callable[[], bytes], set[int]]] = {
    "png-20000": (lambda: pictures.png(20_000, 20_000), {TOO_MANY}),
    "png-30000-1-bit": (lambda: pictures.png(30_000, 30_000, bit_depth=1), {TOO_MANY}),
    "png-12000-16-bit-alpha": (lambda: pictures.png(12_000, 12_000, bit_depth=16, color_type=6), {TOO_MANY}),
    "png-text-200-mb": (
        lambda: pictures.png(
            8, 8, before=pictures.png_chunk(b"zTXt", b"Comment\0\0" + pictures.zeros(200_000_000))
        ),
        {UNDECODABLE},
    ),
    "png-profile-200-mb": (
        lambda: pictures.png(
            8, 8, before=pictures.png_chunk(b"iCCP", b"icc\0\0" + pictures.zeros(200_000_000))
        ),
        {UNDECODABLE},
    ),
    "png-text-many": (
        lambda: pictures.png(
            8, 8, before=pictures.png_chunk(b"zTXt", b"Comment\0\0" + pictures.zeros(1_000_000)) * 100
        ),
        {UNDECODABLE},
    ),
    "jpeg-that-lies": (lambda: pictures.jpeg_that_lies(65_500, 65_500), {TOO_MANY}),
    "jpeg-without-width": (lambda: pictures.jpeg_that_lies(0, 100), {UNDECODABLE}),
    "gif-canvas": (lambda: pictures.gif((65_535, 65_535), [(1, 1)]), {TOO_MANY}),
    "gif-frame-beyond-canvas": (lambda: pictures.gif((1, 1), [(65_535, 65_535)]), {TOO_MANY}),
    "gif-frame-disposed": (lambda: pictures.gif((1, 1), [(65_535, 65_535)], disposal=2), {TOO_MANY}),
    "gif-60-frames": (lambda: pictures.gif((4_000, 4_000), [(4_000, 4_000)] * 60), {TOO_MANY}),
    "gif-many-tiny-frames": (lambda: pictures.gif((1, 1), [(1, 1)] * 50_000), {TOO_MANY}),
    "bmp-that-lies": (lambda: pictures.bmp_that_lies(60_000, 60_000), {TOO_MANY}),
    "bmp-that-lies-a-little": (lambda: pictures.bmp_that_lies(7_000, 7_000), {UNDECODABLE}),
    "bmp-upside-down": (lambda: pictures.bmp_that_lies(60_000, -60_000), {TOO_MANY}),
    "bmp-negative": (lambda: pictures.bmp_that_lies(-5, 5), {UNDECODABLE, TOO_MANY}),
    "tiff-deflate": (
        lambda: pictures.tiff_that_lies(
            (256, 20_000), (257, 20_000), strip=pictures.zeros(400_000_000), compression=8
        ),
        {TOO_MANY},
    ),
    "tiff-fax": (lambda: pictures.tiff_that_lies((256, 60_000), (257, 60_000), compression=4), {TOO_MANY}),
    "webp-16383": (lambda: pictures.webp_that_lies(16_383, 16_383), {TOO_MANY}),
    "webp-7000": (lambda: pictures.webp_that_lies(7_000, 7_000), {UNDECODABLE}),
    "heic-that-lies": (lambda: pictures.boxed_that_lies("heic", 12_000, 12_000), {TOO_MANY, UNDECODABLE}),
    "avif-that-lies": (lambda: pictures.boxed_that_lies("avif", 12_000, 12_000), {TOO_MANY, UNDECODABLE}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bombs_are_refused_before_they_go_off(name: str, limits: Limits) -> None:
    make, reasons = REFUSED[name]
    data = make()
    with bounded(), pytest.raises(InvalidArgumentError) as caught:
        inspect(data, limits)
    assert caught.value.reason in reasons, caught.value.message


HARMLESS: dict[str, Callable[[], bytes]] = {
    "png-7000": lambda: pictures.png(7_000, 7_000),
    "jpeg-400-scans": lambda: pictures.jpeg_with_repeated_scans(400),
    "gif-later-frames-beyond-canvas": lambda: pictures.gif((1, 1), [(1, 1)] + [(60_000, 60_000)] * 3),
    "gif-later-frames-disposed": lambda: pictures.gif((1, 1), [(1, 1)] + [(60_000, 60_000)] * 3, disposal=2),
    "gif-9999-frames": lambda: pictures.gif((1, 1), [(1, 1)] * 9_999),
    "tiff-200-pages": lambda: pictures.tiff_pages(200),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_allowed_takes_little_nevertheless(name: str, limits: Limits) -> None:
    data = HARMLESS[name]()
    with bounded():
        assert isinstance(inspect(data, limits), Inspection)


@pytest.mark.parametrize("compression", [1, 8])
def test_a_tiff_with_two_sizes_is_decoded_at_the_size_that_was_judged(
    compression: int, limits: Limits
) -> None:
    strip = bytes(100) if compression == 1 else pictures.zeros(900_000_000)
    data = pictures.tiff_that_lies(
        (256, 30_000), (256, 10), (257, 30_000), (257, 10), strip=strip, compression=compression
    )
    with bounded():
        found = answer(data, limits)
    assert found in {UNDECODABLE, TOO_MANY, (10, 10)}


def answer(data: bytes, limits: Limits) -> int | tuple[int, int]:
    """The reason of the refusal, or the size."""
    try:
        found = inspect(data, limits)
    except InvalidArgumentError as error:
        return error.reason
    return found.width, found.height


@functools.cache
def hostile_files() -> list[Path]:
    return sorted(path for path in HOSTILE.rglob("*") if path.is_file()) if HOSTILE.exists() else []


@pytest.mark.skipif(not hostile_files(), reason="the collection of hostile files is not here")
def test_hostile_files_get_an_answer_each(limits: Limits) -> None:
    accepted = 0
    for path in hostile_files():
        with bounded():
            accepted += isinstance(answer(path.read_bytes(), limits), tuple)
    assert 100 < accepted < len(hostile_files()) - 50
