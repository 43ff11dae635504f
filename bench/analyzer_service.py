"""The analyzer as it runs in earnest, a process on a free port, and a client that keeps it busy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from services.ingest.renditions import THUMBNAIL_EDGE
from services.runtime.channels import message_options
from sightmill.v1 import analyzer_pb2, analyzer_pb2_grpc, common_pb2

ROOT = Path(__file__).parents[1]
IN_FLIGHT = 4 * (os.cpu_count() or 1)
MAX_MESSAGE_BYTES = 72 * 1024 * 1024
DEADLINE_S = 120.0
# As the pipeline asks: the default set of detectors, and a thumbnail.
DEFAULT = analyzer_pb2.AnalyzeOptions(thumbnail_edge=THUMBNAIL_EDGE)
# What the peer answers, and no more.
AS_THE_PEER = analyzer_pb2.AnalyzeOptions(
    detectors=[
        analyzer_pb2.DETECTOR_COLORS,
        analyzer_pb2.DETECTOR_LUMINANCE,
        analyzer_pb2.DETECTOR_SCENE,
        analyzer_pb2.DETECTOR_FACES,
        analyzer_pb2.DETECTOR_TEXT,
    ]
)


@dataclass(frozen=True, slots=True)
class AnalyzerService:
    """A running process and a stub for it."""

    process: psutil.Process
    stub: analyzer_pb2_grpc.AnalyzerServiceStub

    def default_detectors(self) -> list[int]:
        """What an empty mask runs here. Raises RuntimeError where a detector lacks its engine."""
        info = self.stub.GetAnalyzerInfo(analyzer_pb2.GetAnalyzerInfoRequest(), timeout=DEADLINE_S)
        chosen = [each for each in info.detectors if each.on_by_default]
        if poor := [each.message for each in chosen if each.fallback or not each.engine]:
            raise RuntimeError(f"the analyzer lacks something, run `make setup-dev`: {' '.join(poor)}")
        return [each.detector for each in chosen]

    def rate(self, photos: Sequence[bytes], options: analyzer_pb2.AnalyzeOptions = DEFAULT) -> float:
        """Photos a second over one stream, from the first request to the last answer."""
        free = threading.Semaphore(IN_FLIGHT)

        def requests() -> Iterator[analyzer_pb2.AnalyzeImagesRequest]:
            for number, photo in enumerate(photos):
                if not free.acquire(timeout=DEADLINE_S):
                    return
                yield analyzer_pb2.AnalyzeImagesRequest(
                    key=str(number), image=common_pb2.ImageSource(content=photo), options=options
                )

        started = time.perf_counter()
        answered = 0
        for answer in self.stub.AnalyzeImages(requests(), timeout=DEADLINE_S):
            free.release()
            if answer.HasField("error"):
                raise RuntimeError(f"a photo was refused: {answer.error.message}")
            _check(answer.analysis)
            answered += 1
        if answered < len(photos):
            raise RuntimeError(f"{len(photos) - answered} photos got no answer within {DEADLINE_S:g} s")
        return len(photos) / (time.perf_counter() - started)

    def latencies_ms(self, photos: Sequence[bytes]) -> list[float]:
        """Time of each call, one call after the other."""
        times = []
        for photo in photos:
            request = analyzer_pb2.AnalyzeImageRequest(
                image=common_pb2.ImageSource(content=photo), options=DEFAULT
            )
            started = time.perf_counter()
            answer = self.stub.AnalyzeImage(request, timeout=DEADLINE_S)
            times.append((time.perf_counter() - started) * 1_000)
            _check(answer)
        return times

    def rss_mb(self) -> float:
        """Resident memory of the process and of those that it started, in MB."""
        tree = [self.process, *self.process.children(recursive=True)]
        return sum(each.memory_info().rss for each in tree) / 1e6


@contextmanager
def running_analyzer(folder: Path) -> Iterator[AnalyzerService]:
    """Starts the process with its standard settings; it writes into ``folder`` only."""
    ours = {"ANALYZER_LISTEN": "127.0.0.1:0", "DATA_DIR": str(folder), "LOG_LEVEL": "error"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGHTMILL_")}
    environment |= {"PYTHONPATH": str(ROOT), **{f"SIGHTMILL_{name}": value for name, value in ours.items()}}
    with subprocess.Popen(
        [sys.executable, "-m", "services.analyzer"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            ready = _read_line(process)
            if not ready.startswith("READY analyzer "):
                raise RuntimeError(f"the analyzer did not start: {ready!r}")
            address = ready.split()[2].removeprefix("grpc=")
            with grpc.insecure_channel(address, message_options(MAX_MESSAGE_BYTES)) as channel:
                stub = analyzer_pb2_grpc.AnalyzerServiceStub(channel)
                yield AnalyzerService(psutil.Process(process.pid), stub)
        finally:
            _stop(process)


def _read_line(process: subprocess.Popen[str]) -> str:
    """The next line that the process writes; empty when it writes none in time, which ends it."""
    assert process.stdout
    too_late = threading.Timer(DEADLINE_S, process.kill)
    too_late.start()
    try:
        return process.stdout.readline()
    finally:
        too_late.cancel()


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _check(answer: analyzer_pb2.AnalyzeImageResponse) -> None:
    if any(each.status != analyzer_pb2.DETECTOR_STATUS_OK for each in answer.insights.detectors):
        raise RuntimeError(f"a detector did not end well: {answer.insights.detectors}")
