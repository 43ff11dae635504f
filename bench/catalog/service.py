"""The catalog as it runs in earnest, a process on a free port: how long its callers wait."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import grpc
import psutil

from bench.catalog.data import SETTINGS, VERSION, made_images
from bench.catalog.reads import FILTERS, PAGE, PAGES_A_FILTER, p99, search_text
from bench.figures import Figure, Figures
from services.runtime.channels import message_options
from sightmill.v1 import analyzer_pb2, captioner_pb2, catalog_pb2, catalog_pb2_grpc

ROOT = Path(__file__).parents[2]
MAX_MESSAGE_BYTES = 72 * 1024 * 1024
DEADLINE_S = 60.0
_POINTS, _PAGES, _SEARCHES = 2_000, 300, 200
_WRITE_S = 20.0


@dataclass(frozen=True, slots=True)
class Running:
    """A running process and a stub for it."""

    process: psutil.Process
    stub: catalog_pb2_grpc.CatalogServiceStub
    start_s: float


@contextmanager
def started(data_dir: Path) -> Iterator[Running]:
    """The catalog of a data folder, serving."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTMILL_")}
    environment |= {
        "SIGHTMILL_DATA_DIR": str(data_dir),
        "SIGHTMILL_CATALOG_LISTEN": "127.0.0.1:0",
        "SIGHTMILL_LOG_LEVEL": "error",
        # Its own figure is in docs/catalog.md; here it would only share the cores with what is measured.
        "SIGHTMILL_CATALOG_COMPARE_LOOKS": "false",
    }
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "services.catalog"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        ready = process.stdout.readline().split()
        start_s = time.perf_counter() - begun
        try:
            address = next(part.removeprefix("grpc=") for part in ready if part.startswith("grpc="))
            with grpc.insecure_channel(address, options=message_options(MAX_MESSAGE_BYTES)) as channel:
                stub = catalog_pb2_grpc.CatalogServiceStub(channel)
                _wait_until_it_answers(stub)
                yield Running(psutil.Process(process.pid), stub, start_s)
        finally:
            process.terminate()


def _wait_until_it_answers(stub: catalog_pb2_grpc.CatalogServiceStub) -> None:
    stub.GetStats(catalog_pb2.GetStatsRequest(), timeout=DEADLINE_S, wait_for_ready=True)
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            stub.ListSimilarImages(catalog_pb2.ListSimilarImagesRequest(name="images/1"), timeout=DEADLINE_S)
        except grpc.RpcError as fault:
            if fault.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return


def run(running: Running, images: int) -> Figures:
    """What one caller waits over gRPC, one call after the other."""
    stub = running.stub
    chance = random.Random(7)  # noqa: S311  no secret
    empty = [_timed(lambda: _stats(stub)) for _ in range(_POINTS)]
    points = [_timed(lambda: _point(stub, chance.randrange(images) + 1)) for _ in range(_POINTS)]
    pages = _walk_times(stub, "", _PAGES)
    filtered = [time_ms for text in FILTERS for time_ms in _walk_times(stub, text, PAGES_A_FILTER)]
    searches = [_timed(lambda: _search(stub, chance)) for _ in range(_SEARCHES)]
    busy_points, busy_pages, written = _while_writing(stub, images)
    writing = f"while another client writes {written:,.0f} analyses/s over one stream"
    return {
        "start_s": Figure(running.start_s, "s", "lower", f"to READY, {images:,} images"),
        "rpc_stats_p99_ms": Figure(p99(empty), "ms", "lower", "GetStats over gRPC: what any call costs"),
        "rpc_point_p99_ms": Figure(p99(points), "ms", "lower", "GetImage over gRPC"),
        "rpc_page_p99_ms": Figure(p99(pages), "ms", "lower", "ListImages over gRPC"),
        "rpc_filtered_page_p99_ms": Figure(p99(filtered), "ms", "lower", "ListImages with filters over gRPC"),
        "rpc_search_p50_ms": Figure(median(searches), "ms", "lower", "SearchImages over gRPC"),
        "point_while_writing_p99_ms": Figure(
            p99(busy_points), "ms", "lower", f"GetImage over gRPC {writing}", goal=10
        ),
        "page_while_writing_p99_ms": Figure(
            p99(busy_pages), "ms", "lower", f"ListImages over gRPC {writing}", goal=10
        ),
    }


def memory(running: Running) -> Figures:
    """What the process holds after all that."""
    return {
        "rss_mb": Figure(
            running.process.memory_info().rss / 1e6,
            "MB",
            "lower",
            "resident memory after all calls",
            goal=400,
        )
    }


def _timed(call: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    call()
    return 1_000 * (time.perf_counter() - started_s)


def _stats(stub: catalog_pb2_grpc.CatalogServiceStub) -> None:
    stub.GetStats(catalog_pb2.GetStatsRequest(), timeout=DEADLINE_S)


def _point(stub: catalog_pb2_grpc.CatalogServiceStub, number: int) -> None:
    answer = stub.GetImage(catalog_pb2.GetImageRequest(name=f"images/{number}"), timeout=DEADLINE_S)
    assert answer.image.number == number
    assert answer.image.caption.tags


def _walk_times(stub: catalog_pb2_grpc.CatalogServiceStub, text: str, pages: int) -> list[float]:
    """Times of the first pages of a list."""
    request = catalog_pb2.ListImagesRequest(page_size=PAGE, filter=text)
    times = []
    for _ in range(pages):
        started_s = time.perf_counter()
        answer = stub.ListImages(request, timeout=DEADLINE_S)
        times.append(1_000 * (time.perf_counter() - started_s))
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    return times


def _search(stub: catalog_pb2_grpc.CatalogServiceStub, chance: random.Random) -> None:
    request = catalog_pb2.SearchImagesRequest(text=search_text(chance), page_size=PAGE)
    stub.SearchImages(request, timeout=DEADLINE_S)


def _while_writing(
    stub: catalog_pb2_grpc.CatalogServiceStub, images: int
) -> tuple[list[float], list[float], float]:
    """Times of points and pages while another client writes as fast as it can, and how fast that is."""
    stop = threading.Event()
    written = [0]
    requests = _new_results(images, 20_000)

    def write() -> None:
        free = threading.Semaphore(512)

        def stream() -> Iterator[catalog_pb2.WriteAnalysesRequest]:
            for request in requests:
                if stop.is_set() or not free.acquire(timeout=DEADLINE_S):
                    return
                yield request

        for answer in stub.WriteAnalyses(stream(), timeout=DEADLINE_S):
            assert not answer.HasField("error"), answer.error.message
            written[0] += 2
            free.release()

    writer = threading.Thread(target=write)
    begun = time.perf_counter()
    writer.start()
    chance = random.Random(8)  # noqa: S311  no secret
    points: list[float] = []
    pages: list[float] = []
    while time.perf_counter() < begun + _WRITE_S and writer.is_alive():
        points += [_timed(lambda: _point(stub, chance.randrange(images) + 1)) for _ in range(10)]
        pages += _walk_times(stub, "", 2)
    rate = written[0] / (time.perf_counter() - begun)
    stop.set()
    writer.join()
    return points, pages, rate


def _new_results(images: int, count: int) -> list[catalog_pb2.WriteAnalysesRequest]:
    """Results of a later version for the first images, made before the clock runs."""
    requests = []
    for index, made in enumerate(made_images(0, min(count, images)), 1):
        request = catalog_pb2.WriteAnalysesRequest(
            key=str(index), image=f"images/{index}", state=catalog_pb2.Image.PROCESSED
        )
        for analysis in made.analyses:
            message = request.analyses.add(
                sha256=analysis.sha256,
                analyzer=analysis.analyzer,
                version=VERSION + ".1",
                settings_digest=SETTINGS,
            )
            if analysis.analyzer == "insights":
                message.insights.CopyFrom(analyzer_pb2.Insights.FromString(analysis.result))
            else:
                message.caption.CopyFrom(captioner_pb2.Caption.FromString(analysis.result))
        requests.append(request)
    return requests
