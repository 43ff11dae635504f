"""The captioner as it runs in earnest, a process on a free port, and a client that keeps it busy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from services.runtime.channels import message_options
from sightmill.v1 import captioner_pb2, captioner_pb2_grpc, common_pb2

ROOT = Path(__file__).parents[2]
MAX_MESSAGE_BYTES = 72 * 1024 * 1024
DEADLINE_S = 300.0
_SAMPLE_EVERY = 50


@dataclass(frozen=True, slots=True)
class Run:
    """Of one stream: when each answer came (seconds), how long it took, and memory every fifty answers."""

    answered_at: Sequence[float]
    latencies_s: Sequence[float]
    rss_bytes: Sequence[int]
    cpu_s: float

    def rate(self, skip: int) -> float:
        """Answers a second after the first ``skip``."""
        return (len(self.answered_at) - skip) / (self.answered_at[-1] - self.answered_at[skip - 1])

    def growth_mb(self) -> float:
        """Resident memory at the end less that at half time, each the mean of five samples."""
        half = len(self.rss_bytes) // 2
        return (sum(self.rss_bytes[-5:]) - sum(self.rss_bytes[half : half + 5])) / 5 / 1e6


@dataclass(frozen=True, slots=True)
class CaptionerProcess:
    """A running process and a stub for it."""

    process: psutil.Process
    stub: captioner_pb2_grpc.CaptionerServiceStub

    def stream(self, pictures: Sequence[bytes], in_flight: int, text: str, ramp_s: float = 0.0) -> Run:
        """All pictures over one stream, ``in_flight`` of them at a time; each must be told as ``text``.

        The first ones are sent evenly over ``ramp_s``.
        """
        free = threading.Semaphore(in_flight)
        sent_at: dict[str, float] = {}

        def requests() -> Iterator[captioner_pb2.CaptionImagesRequest]:
            for number, picture in enumerate(pictures):
                if not free.acquire(timeout=DEADLINE_S):
                    return
                if number < in_flight:
                    time.sleep(ramp_s / in_flight)
                source = common_pb2.ImageSource(content=picture)
                sent_at[str(number)] = time.perf_counter()
                yield captioner_pb2.CaptionImagesRequest(key=str(number), image=source)

        answered_at: list[float] = []
        latencies_s: list[float] = []
        rss_bytes: list[int] = []
        cpu_before_s = self._cpu_s()
        for answer in self.stub.CaptionImages(requests(), timeout=DEADLINE_S):
            free.release()
            _check(answer, text)
            answered_at.append(time.perf_counter())
            latencies_s.append(answered_at[-1] - sent_at[answer.key])
            if len(answered_at) % _SAMPLE_EVERY == 0:
                rss_bytes.append(self.process.memory_info().rss)
        if len(answered_at) < len(pictures):
            raise RuntimeError(f"{len(pictures) - len(answered_at)} pictures got no answer")
        return Run(answered_at, latencies_s, rss_bytes, self._cpu_s() - cpu_before_s)

    def _cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def captioner(folder: Path, settings: Mapping[str, object]) -> Iterator[CaptionerProcess]:
    """The captioner with these settings, named without their prefix."""
    with (
        service("captioner", folder, settings) as (process, address),
        grpc.insecure_channel(address, message_options(MAX_MESSAGE_BYTES)) as channel,
    ):
        yield CaptionerProcess(process, captioner_pb2_grpc.CaptionerServiceStub(channel))


@contextmanager
def service(name: str, folder: Path, settings: Mapping[str, object]) -> Iterator[tuple[psutil.Process, str]]:
    """A service's process and its gRPC address; it writes into ``folder`` only and knows no keys of ours."""
    ours = {f"{name.upper()}_LISTEN": "127.0.0.1:0", "DATA_DIR": folder, "LOG_LEVEL": "error", **settings}
    foreign = ("SIGHTMILL_", "MISTRAL_", "OPENAI_", "BLIP_", "API_ENDPOINT_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    environment |= {"PYTHONPATH": str(ROOT)} | {f"SIGHTMILL_{key}": str(value) for key, value in ours.items()}
    with subprocess.Popen(
        [sys.executable, "-m", f"services.{name}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield psutil.Process(process.pid), _address(process, name)
        finally:
            process.terminate()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: subprocess.Popen[str], name: str) -> str:
    assert process.stdout
    too_late = threading.Timer(DEADLINE_S, process.kill)
    too_late.start()
    try:
        ready = process.stdout.readline()
    finally:
        too_late.cancel()
    if not ready.startswith(f"READY {name} "):
        raise RuntimeError(f"the {name} did not start: {ready!r}")
    return ready.split()[2].removeprefix("grpc=")


def _check(answer: captioner_pb2.CaptionImagesResponse, text: str) -> None:
    if answer.HasField("error"):
        raise RuntimeError(f"a picture was refused: {answer.error.message}")
    if answer.caption.provider != "mistral" or answer.caption.text != text or answer.caption.cached:
        raise RuntimeError(f"not the answer of the model: {answer.caption}")
