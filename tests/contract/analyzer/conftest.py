"""The real analyzer over real gRPC, and a gate that makes images take as long as needed."""

from __future__ import annotations

import io
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from PIL import Image

from services.analyzer.__main__ import start
from services.analyzer.detector import Cancellation, raise_if_cancelled
from services.analyzer.detectors.scene import Scene, SceneDetector
from services.analyzer.picture import Picture
from services.analyzer.settings import AnalyzerSettings
from services.runtime.errors import ServiceError
from services.runtime.statuses import from_rpc_error, from_status
from sightmill.v1 import analyzer_pb2, analyzer_pb2_grpc, common_pb2
from tests.servers.running_app import RunningApp, running_app

Item = analyzer_pb2.AnalyzeImagesRequest
Answer = analyzer_pb2.AnalyzeImagesResponse
SCENE = analyzer_pb2.AnalyzeOptions(detectors=[analyzer_pb2.DETECTOR_SCENE])


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def analyzer_stub(channel: grpc.aio.Channel) -> analyzer_pb2_grpc.AnalyzerServiceAsyncStub:
    """The stub, with its type."""
    stub: analyzer_pb2_grpc.AnalyzerServiceAsyncStub = analyzer_pb2_grpc.AnalyzerServiceStub(channel)
    return stub


@asynccontextmanager
async def analyzer_with(folder: Path, **settings: Any) -> AsyncIterator[RunningApp]:
    """An analyzer with these settings on a free port."""
    given: dict[str, Any] = {"data_dir": folder, "analyzer_threads": 2, "drain_delay_s": 0.0, **settings}
    async with running_app("analyzer", AnalyzerSettings(**given), start) as running:
        yield running


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Two threads, and everything else as it comes."""
    async with analyzer_with(tmp_path) as app:
        yield app


@pytest.fixture
async def one_thread(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """A thread that takes one image after the other, and one single call that may wait."""
    async with analyzer_with(tmp_path, analyzer_threads=1, analyzer_max_waiting=1) as app:
        yield app


class Gate:
    """Stands before the scene detector: holds every image until it is opened or its caller gives up."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.widths: list[int] = []
        self.given_up: list[int] = []

    @property
    def inside(self) -> int:
        """Images that hold a thread now, once the gate has let none through."""
        return len(self.widths) - len(self.given_up)

    def hold(self, picture: Picture, cancelled: Cancellation) -> None:
        """Holds one image."""
        self.widths.append(picture.width)
        while not self.opened.wait(0.002):
            try:
                raise_if_cancelled(cancelled)
            except Exception:
                self.given_up.append(picture.width)
                raise


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Images name themselves by their width, and ask for the scene alone."""
    shut = Gate()
    detect = SceneDetector.detect

    def held(detector: SceneDetector, picture: Picture, cancelled: Cancellation) -> Scene:
        shut.hold(picture, cancelled)
        return detect(detector, picture, cancelled)

    monkeypatch.setattr(SceneDetector, "detect", held)
    yield shut
    shut.opened.set()


def plain(width: int = 64) -> bytes:
    """A small PNG."""
    target = io.BytesIO()
    Image.new("RGB", (width, 48), "teal").save(target, "PNG")
    return target.getvalue()


def heavy(width: int, size_bytes: int) -> bytes:
    """A small PNG in a large file: what follows its end is not looked at."""
    return plain(width).ljust(size_bytes, b"\0")


def source(content: bytes) -> common_pb2.ImageSource:
    return common_pb2.ImageSource(content=content)


def single(content: bytes, options: analyzer_pb2.AnalyzeOptions = SCENE) -> analyzer_pb2.AnalyzeImageRequest:
    return analyzer_pb2.AnalyzeImageRequest(image=source(content), options=options)


def item(
    key: str, content: bytes, timeout: Duration | None = None, options: analyzer_pb2.AnalyzeOptions = SCENE
) -> Item:
    return Item(key=key, image=source(content), options=options, timeout=timeout)


def widths(count: int, first: int = 100) -> list[Item]:
    """Items whose width is in their key."""
    return [item(str(width), plain(width)) for width in range(first, first + count)]


async def answers_of(call: Any) -> dict[str, Answer]:
    """All answers of a stream by key; none comes twice."""
    found: dict[str, Answer] = {}
    async for answer in call:
        assert answer.key not in found
        found[answer.key] = answer
    return found


async def next_answer(call: Any) -> Answer:
    """The next answer of a stream that goes on."""
    answer = await call.read()
    assert isinstance(answer, Answer)
    return answer


def reason(answer: Answer) -> str:
    """The reason of an item's error."""
    assert answer.WhichOneof("result") == "error", answer
    return from_status(answer.error).reason_name


async def refusal(call: Any) -> ServiceError:
    """The typed error that ends a call."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return from_rpc_error(failed.value)
