"""Decoding in child processes: the same picture as in this one, and every limit of the operator is kept."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from PIL import Image

from services.analyzer.decode import DecodeLimits, Decoder, open_decode_children
from services.analyzer.decode.raster import prepare_child
from services.analyzer.detector import AnalysisCancelledError
from services.analyzer.detectors.faces import FaceDetector
from services.runtime.child_processes import ChildProcesses
from services.runtime.errors import InvalidArgumentError, Reason, ResourceExhaustedError
from tests.contract.hostile import bombs
from tests.unit.ingest import pictures

LIMITS = DecodeLimits(timeout_s=30)


@pytest.fixture(scope="module")
def children() -> Iterator[ChildProcesses]:
    opened = open_decode_children(LIMITS, 1)
    yield opened
    opened.close()


def refusal(decoder: Decoder, data: bytes) -> InvalidArgumentError:
    with pytest.raises(InvalidArgumentError) as caught:
        decoder.decode(data)
    return caught.value


@pytest.mark.parametrize("name", pictures.GOOD)
def test_a_child_decodes_the_same_picture(name: str, children: ChildProcesses, decoder: Decoder) -> None:
    data = pictures.good(name)
    here, apart = decoder.decode(data), Decoder(LIMITS, children).decode(data)
    for one, other in ((here.grey, apart.grey), (here.rgb, apart.rgb), (here.preview, apart.preview)):
        assert (one == other).all()
        assert not other.flags.writeable
    facts = ("format", "mode", "frames", "orientation", "truncated", "exif", "reduction", "width", "height")
    assert [getattr(here, fact) for fact in facts] == [getattr(apart, fact) for fact in facts]
    assert (decoder.decode_colour(data)[0] == Decoder(LIMITS, children).decode_colour(data)[0]).all()


def test_only_what_is_not_plain_goes_to_a_child() -> None:
    fresh = open_decode_children(LIMITS, 1)
    decoder = Decoder(LIMITS, fresh)
    before = len(psutil.Process().children())
    for name in ("jpeg", "png", "webp", "bmp"):
        decoder.decode(pictures.good(name))
    assert len(psutil.Process().children()) == before
    decoder.decode(pictures.good("gif"))
    assert len(psutil.Process().children()) == before + 1
    fresh.close()
    with pytest.raises(ResourceExhaustedError):
        decoder.decode(pictures.good("gif"))


def test_a_cut_jpeg_is_mended_in_a_child(children: ChildProcesses) -> None:
    whole = pictures.encode(pictures.picture(size=(640, 480)), "JPEG", quality=95)
    picture = Decoder(LIMITS, children).decode(whole[: len(whole) * 2 // 3])
    assert picture.truncated
    assert (picture.width, picture.height) == (640, 480)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("name", ["gif-animated", "apng", "webp-animated", "tiff-pages", "avif-animated"])
def test_frames_are_counted_and_limited_together(name: str, apart: bool, children: ChildProcesses) -> None:
    pixels = pictures.WIDTH * pictures.HEIGHT
    pool = children if apart else None
    exactly = DecodeLimits(max_pixels=pixels, max_total_pixels=3 * pixels, timeout_s=30)
    assert Decoder(exactly, pool).decode(pictures.good(name)).frames == 3
    less = DecodeLimits(max_pixels=pixels, max_total_pixels=3 * pixels - 1, timeout_s=30)
    error = refusal(Decoder(less, pool), pictures.good(name))
    assert error.reason == Reason.IMAGE_TOO_MANY_PIXELS
    assert error.metadata == {"limit_pixels": str(3 * pixels - 1), "pixels": str(3 * pixels)}


def test_bytes_are_limited(children: ChildProcesses) -> None:
    data = pictures.good("gif")
    assert Decoder(DecodeLimits(max_bytes=len(data), timeout_s=30), children).decode(data).format == "GIF"
    error = refusal(Decoder(DecodeLimits(max_bytes=len(data) - 1), children), data)
    assert (error.reason, error.metadata) == (
        Reason.IMAGE_TOO_LARGE,
        {"limit_bytes": str(len(data) - 1)},
    )


def test_time_is_limited(children: ChildProcesses) -> None:
    Decoder(LIMITS, children).decode(pictures.good("gif"))
    error = refusal(Decoder(DecodeLimits(timeout_s=0.3), children), bombs.jpeg_of_scans(4_000, 2_000))
    assert (error.reason, error.metadata) == (Reason.IMAGE_DECODE_TIMEOUT, {"limit_seconds": "0.3"})


def test_memory_is_limited() -> None:
    limits = DecodeLimits(timeout_s=30, memory_mb=60)
    small = open_decode_children(limits, 1)
    try:
        decoder = Decoder(limits, small)
        error = refusal(decoder, bombs.tiff(7_000, 7_000, compression=1))
        assert error.reason == Reason.IMAGE_UNDECODABLE
        data = pictures.encode(Image.new("RGB", (4_000, 4_000)), "TIFF", compression="tiff_lzw")
        assert refusal(decoder, data).metadata == {"limit_memory_mb": "60"}
        assert decoder.decode(pictures.good("tiff")).width == pictures.WIDTH
    finally:
        small.close()


def test_a_decode_that_nobody_waits_for_ends(children: ChildProcesses) -> None:
    cancelled = threading.Event()
    data = bombs.jpeg_of_scans(4_000, 2_000)
    with ThreadPoolExecutor(1) as one:
        decoding = one.submit(Decoder(LIMITS, children).decode, data, cancelled)
        cancelled.set()
        assert isinstance(decoding.exception(timeout=10), AnalysisCancelledError)


def lie(image: Image.Image, kind: str, orientation: int) -> bytes:
    """The picture stored so that the tag, or the container's turn and mirror, set it upright."""
    stored = {1: (), 2: (0,), 3: (3,), 4: (1,), 5: (5,), 6: (2,), 7: (6,), 8: (4,)}[orientation]
    for method in stored:
        image = image.transpose(Image.Transpose(method))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    if kind == "HEIF":
        image.info["exif"] = exif.tobytes()
        image.save(file, kind, quality=90)
    else:
        image.save(file, kind, quality=90, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "HEIF", "AVIF"])
def test_a_picture_has_the_same_faces_however_it_lies(
    kind: str, decoder: Decoder, photo: Callable[[str], bytes]
) -> None:
    detector = FaceDetector.open(None)
    image = Image.open(io.BytesIO(photo("astronaut.png"))).convert("RGB").crop((60, 0, 460, 300))
    first = np.zeros(4)
    for orientation in range(1, 9):
        picture = decoder.decode(lie(image, kind, orientation))
        assert (picture.width, picture.height) == (400, 300)
        (face,) = detector.detect(picture, None).faces
        edges = np.array([face.box.x, face.box.y, face.box.width, face.box.height])
        first = edges if orientation == 1 else first
        assert np.abs(edges - first).max() <= 3


def test_a_child_uses_one_thread(children: ChildProcesses) -> None:
    # Servers of other tests may be children of this process, too.
    before = set(psutil.Process().children())
    assert children.call(prepare_child, 1_000, timeout_s=30) is None
    Decoder(LIMITS, children)
    (child,) = set(psutil.Process().children()) - before
    assert child.num_threads() == 1
