"""``python -m services.captioner`` as an operator starts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from pathlib import Path

import grpc

from sightmill.v1 import captioner_pb2, captioner_pb2_grpc, common_pb2
from tests.contract.captioner.conftest import KEY
from tests.servers.providers.fake_provider import FakeProvider
from tests.servers.providers.replies import sends

ROOT = Path(__file__).parents[3]


async def test_it_starts_answers_says_what_is_missing_and_stops(tmp_path: Path, photo: bytes) -> None:
    process = await _start(tmp_path, {"SIGHTMILL_CAPTIONER_KEEP_RECORDS": "false"})
    grpc_address, status_address = await _ready(process)
    async with grpc.aio.insecure_channel(grpc_address) as channel:
        stub = captioner_pb2_grpc.CaptionerServiceStub(channel)
        source = common_pb2.ImageSource(content=photo)
        answer = await stub.CaptionImage(captioner_pb2.CaptionImageRequest(image=source))
    report = await asyncio.to_thread(_report, status_address)
    await _stop(process)

    assert answer.caption.provider == "local"
    assert report["fallbacks"] == {
        "captions": "no model provider configured: captions are composed from measurements; "
        "set MISTRAL_API_KEY or OPENAI_API_KEY",
        "records": "captions are neither cached nor counted: SIGHTMILL_CAPTIONER_KEEP_RECORDS is off",
    }


async def test_its_log_tells_of_a_refused_key_once_and_never_the_key(
    tmp_path: Path, photo: bytes, fake: FakeProvider
) -> None:
    fake.script(sends(401, {"message": f"Incorrect API key provided: {KEY}"}))
    (tmp_path / "key").write_text(f"{KEY}\n")
    names = {
        "MISTRAL_API_KEY_FILE": str(tmp_path / "key"),
        "MISTRAL_BASE_URL": f"{fake.url}/v1",
        "SIGHTMILL_LOG_LEVEL": "debug",
    }
    process = await _start(tmp_path, names)
    grpc_address, _ = await _ready(process)
    async with grpc.aio.insecure_channel(grpc_address) as channel:
        stub = captioner_pb2_grpc.CaptionerServiceStub(channel)
        for _ in range(3):
            source = common_pb2.ImageSource(content=photo)
            answer = await stub.CaptionImage(captioner_pb2.CaptionImageRequest(image=source))
            assert answer.caption.degraded
    log = await _stop(process)

    assert fake.received[0].headers["authorization"] == f"Bearer {KEY}"
    assert len(fake.received) == 1
    assert KEY not in log
    told = [line for line in map(json.loads, log.splitlines()) if line["event"] == "provider"]
    assert [(line["provider"], line["state"], line["level"]) for line in told] == [
        ("mistral", "open", "warning")
    ]


async def _start(folder: Path, names: dict[str, str]) -> asyncio.subprocess.Process:
    clean = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    environment = {
        **clean,
        "PYTHONPATH": str(ROOT),
        "SIGHTMILL_CAPTIONER_LISTEN": "127.0.0.1:0",
        "SIGHTMILL_DATA_DIR": str(folder / "data"),
        **names,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.captioner",
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _ready(process: asyncio.subprocess.Process) -> tuple[str, str]:
    assert process.stdout
    async with asyncio.timeout(30):
        line = (await process.stdout.readline()).decode()
    word, name, grpc_part, status_part = line.split()
    assert (word, name) == ("READY", "captioner")
    return grpc_part.removeprefix("grpc="), status_part.removeprefix("status=")


def _report(address: str) -> dict[str, object]:
    with urllib.request.urlopen(f"http://{address}/healthz", timeout=5) as answer:
        loaded: dict[str, object] = json.loads(answer.read())
    return loaded


async def _stop(process: asyncio.subprocess.Process) -> str:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        _, log = await process.communicate()
    assert process.returncode == 0
    return log.decode()
