"""Similar images and duplicates over gRPC, of pictures that the real analyzer hashed."""

from __future__ import annotations

import asyncio
import importlib.util
import io
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from services.analyzer.decode import DecodeLimits, Decoder
from services.analyzer.detectors.hashes import HashDetector
from services.catalog.looks.duplicate_pairs import DuplicatePairs
from services.catalog.looks.duplicates import DuplicateSweep
from services.catalog.looks.look_index import LookIndex
from services.catalog.looks.similar_answers import LookAnswers
from services.catalog.servicer import Answers
from services.catalog.sqlite.database import SqliteOptions, open_sqlite_database
from services.catalog.sqlite.looks import SqliteLooks
from services.catalog.sqlite.store import SqliteStore
from services.runtime.errors import Reason
from sightmill.v1 import analyzer_pb2, catalog_pb2
from tests.contract.catalog.messages import done, insights_of
from tests.contract.catalog.served import Served, made, refused, serve

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg", "page.png")
WAIT_S = 20.0
Change = Callable[[Image.Image], bytes]


def jpeg(photo: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def cropped(photo: Image.Image) -> bytes:
    across, down = photo.width // 100, photo.height // 100
    return jpeg(photo.crop((across, down, photo.width - across, photo.height - down)))


CHANGES: dict[str, Change] = {
    "original": lambda photo: jpeg(photo, 95),
    "half": lambda photo: jpeg(photo.resize((photo.width // 2, photo.height // 2))),
    "recompressed": lambda photo: jpeg(photo, 30),
    "cropped": cropped,
}


def photo(name: str) -> Image.Image:
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations
    with Image.open(Path(next(iter(spec.submodule_search_locations))) / "data" / name) as image:
        return image.convert("RGB")


def hash_picture(content: bytes) -> analyzer_pb2.Hashes:
    found = HashDetector().detect(Decoder(DecodeLimits()).decode(content), None)
    return analyzer_pb2.Hashes(phash=found.phash, dhash=found.dhash, color_signature=found.color_signature)


@asynccontextmanager
async def running(work: Callable[[asyncio.Event], object]) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    task = asyncio.ensure_future(work(stopping))  # type: ignore[call-overload]  # it is a coroutine
    yield
    stopping.set()
    await asyncio.wait_for(task, WAIT_S)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """The catalog with its background work."""
    async with open_sqlite_database(SqliteOptions(tmp_path / "catalog.sqlite3")) as database:
        store, looks = SqliteStore(database), SqliteLooks(database)
        index = LookIndex(looks)
        pairs = DuplicatePairs(looks, index)
        answers = LookAnswers(store, looks, index, pairs)
        sweep = DuplicateSweep(looks, index, pairs, interval_s=0.01)
        async with (
            running(index.follow),
            running(sweep.run),
            serve(store, Answers(answers.list_similar, answers.list_duplicates)) as opened,
        ):
            yield opened


async def add(served: Served, content: str, picture: bytes) -> str:
    """Creates and analyses an image; its name."""
    with Image.open(io.BytesIO(picture)) as opened:
        size = {"width": opened.width, "height": opened.height, "size_bytes": len(picture)}
    image = await made(served, content, **size)
    analysis = insights_of(content)
    analysis.insights.hashes.CopyFrom(hash_picture(picture))
    async for answer in served.catalog.WriteAnalyses(iter([done(content, image.name, analysis)])):
        assert not answer.HasField("error")
    return image.name


async def swept(
    served: Served, request: catalog_pb2.ListDuplicatesRequest
) -> catalog_pb2.ListDuplicatesResponse:
    """The answer once everything is compared."""
    async with asyncio.timeout(WAIT_S):
        while True:
            page = await served.catalog.ListDuplicates(request)
            if page.compared_count == page.comparable_count:
                return page


async def test_copies_of_real_photos_are_grouped_and_different_photos_are_not(served: Served) -> None:
    copies = {
        name: {
            change: await add(served, f"{name} {change}", make(photo(name)))
            for change, make in CHANGES.items()
        }
        for name in PHOTOS
    }
    for max_distance in (10, 14):
        page = await swept(served, catalog_pb2.ListDuplicatesRequest(max_distance=max_distance))
        found = [{image.name for image in group.images} for group in page.groups]
        assert found == [set(copies[name].values()) for name in reversed(PHOTOS)]
        assert page.comparable_count == len(PHOTOS) * len(CHANGES)
    for name, group in zip(reversed(PHOTOS), page.groups, strict=True):
        assert group.suggested_keeper == copies[name]["original"], group.reason
        assert group.reason.endswith(".")
    for name in PHOTOS:
        for measure in (catalog_pb2.SIMILARITY_MEASURE_LOOK, catalog_pb2.SIMILARITY_MEASURE_COLOR):
            similar = await served.catalog.ListSimilarImages(
                catalog_pb2.ListSimilarImagesRequest(
                    name=copies[name]["original"], measure=measure, page_size=3, max_distance=10
                )
            )
            expected = set(copies[name].values()) - {copies[name]["original"]}
            assert {entry.image.name for entry in similar.images} == expected
            assert all(entry.distance <= 10 and entry.color_distance <= 8 for entry in similar.images)


async def pages_of(served: Served, size: int) -> AsyncIterator[list[str]]:
    request = catalog_pb2.ListDuplicatesRequest(page_size=size)
    while True:
        page = await served.catalog.ListDuplicates(request)
        yield [group.suggested_keeper for group in page.groups]
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def test_pages_of_duplicates_are_linked_by_their_tokens(served: Served) -> None:
    first = [(await made(served, str(turn // 2))).name for turn in range(6)][::2]
    found = [page async for page in pages_of(served, 2)]
    assert found == [first[:0:-1], first[:1]]
    assert flat(found) == flat([page async for page in pages_of(served, 1)])


def flat(pages: Iterable[list[str]]) -> list[str]:
    return [name for page in pages for name in page]


async def test_pages_of_similar_images_are_linked_by_their_tokens(served: Served) -> None:
    picture = jpeg(photo("coffee.png"))
    asked, *others = [await add(served, str(turn), picture) for turn in range(4)]
    request = catalog_pb2.ListSimilarImagesRequest(name=asked, page_size=2)
    page = await served.catalog.ListSimilarImages(request)
    assert [entry.image.name for entry in page.images] == others[:2]
    request.page_token = page.next_page_token
    page = await served.catalog.ListSimilarImages(request)
    assert [entry.image.name for entry in page.images] == others[2:]
    assert not page.next_page_token
    request.max_distance = 9
    await refused(served.catalog.ListSimilarImages(request), Reason.INVALID_PAGE_TOKEN)


async def test_what_cannot_be_answered_is_refused_with_a_reason(served: Served) -> None:
    bare = await made(served, "bare")
    Similar, Duplicates = catalog_pb2.ListSimilarImagesRequest, catalog_pb2.ListDuplicatesRequest  # noqa: N806
    await refused(served.catalog.ListSimilarImages(Similar(name=bare.name)), Reason.WRONG_STATE)
    await refused(served.catalog.ListSimilarImages(Similar(name="images/999")), Reason.IMAGE_NOT_FOUND)
    await refused(served.catalog.ListSimilarImages(Similar(name="sea")), Reason.INVALID_NAME)
    await refused(served.catalog.ListDuplicates(Duplicates(max_distance=15)), Reason.INVALID_FIELD)
