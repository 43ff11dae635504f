"""`sightmill analyze` as a real process against a real server: what a user sees."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import grpc

from sightmill.samples import feed_samples
from sightmill.v1 import analyzer_pb2, captioner_pb2, common_pb2
from tests.contract.client.scripted_server import Image, ScriptedServer, build_status

_PROGRAM = "import typer; from sightmill.cli.analyze import analyze; typer.run(analyze)"


@dataclass(frozen=True)
class Ended:
    """A finished process."""

    code: int
    out: str
    err: str


async def run_analyze(
    *arguments: str | Path, columns: int = 160, environment: dict[str, str] | None = None
) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": str(columns), "PYTHONPATH": str(Path.cwd()), **(environment or {})},
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


def finished(number: int, display_name: str) -> Image:
    color = common_pb2.Color(red=70, green=130, blue=180, hex="#4682b4")
    insights = analyzer_pb2.Insights(
        dominant_colors=[analyzer_pb2.DominantColor(color=color, share=1.0, css_name="steelblue")],
        luminance=analyzer_pb2.Luminance(
            brightness=134, quality_score=71.5, blur_level=analyzer_pb2.BLUR_LEVEL_LOW
        ),
        scene=analyzer_pb2.Scene(type=analyzer_pb2.SCENE_TYPE_OUTDOOR, confidence=0.83),
        faces=analyzer_pb2.FaceInsight(faces=[analyzer_pb2.Face(), analyzer_pb2.Face()]),
        text=analyzer_pb2.TextInsight(text="OPEN\nDAILY", word_count=2),
    )
    caption = captioner_pb2.Caption(
        text="A shop by the sea.", degraded=True, degraded_reason="No model is configured."
    )
    return Image(
        name=f"images/{number}",
        display_name=display_name,
        state=Image.PROCESSED,
        width=640,
        height=480,
        insights=insights,
        caption=caption,
    )


async def test_one_table_of_all_that_was_found(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a.jpg", "inner/b.PNG", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"image")
    server.ingest.waits = deque([finished(1, "a.jpg"), finished(2, "b.PNG")])
    ended = await run_analyze(tmp_path, "--recursive", "--address", server.address)
    assert (ended.code, ended.err) == (0, "")
    header, *rows = [line for line in ended.out.splitlines() if "a.jpg" in line or "Photo" in line]
    for title in ("Photo", "Size", "Colours", "Light", "Faces", "Text", "Scene", "Caption"):
        assert title in header
    for fact in ("640x480", "steelblue 100%", "brightness", "2", "2 words: OPEN", "outdoor 83%", "A shop by"):
        assert fact in rows[0]
    assert "(composed from measurements)" in " ".join(ended.out.split())
    assert "Note: captions: No model is configured." in ended.out
    assert "b.PNG" in ended.out
    assert len(server.ingest.images) == 2
    assert "\x1b[" not in ended.out


async def test_a_narrow_terminal_gets_every_fact(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    server.ingest.waits.append(finished(1, "a.jpg"))
    ended = await run_analyze(tmp_path, "--address", server.address, columns=48)
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 48
    for fact in ("a.jpg", "640x480", "brightness 134", "faces: 2", "2 words: OPEN", "A shop by the sea."):
        assert fact in ended.out


async def test_colours_are_shown_where_there_are_colours(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    server.ingest.waits.extend([finished(1, "a.jpg"), finished(1, "a.jpg")])
    color = {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color"}
    shown = await run_analyze(tmp_path, "--address", server.address, environment=color)
    assert "\x1b[38;2;70;130;180m" + "█" * 12 in shown.out
    without = await run_analyze(tmp_path, "--address", server.address, environment={**color, "NO_COLOR": "1"})
    assert "█" not in without.out
    assert "steelblue 100%" in without.out


async def test_each_failure_has_its_reason_and_the_rest_is_shown(
    server: ScriptedServer, tmp_path: Path
) -> None:
    for name in ("bad.jpg", "broken.jpg", "good.jpg"):
        (tmp_path / name).write_bytes(b"image")
    server.ingest.answers["bad.jpg"] = deque(
        [build_status(grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_FORMAT_UNSUPPORTED", "Send JPEG or PNG.")]
    )
    broken = Image(
        name="images/1",
        state=Image.FAILED,
        error=build_status(grpc.StatusCode.INTERNAL, "ANALYSIS_ABANDONED", "Given up."),
    )
    server.ingest.waits = deque([broken, finished(2, "good.jpg")])
    ended = await run_analyze(
        *(tmp_path / name for name in ("bad.jpg", "broken.jpg", "good.jpg", "gone.jpg")),
        "--address",
        server.address,
    )
    assert ended.code == 1
    assert "good.jpg" in ended.out
    assert f"{tmp_path}/bad.jpg: IMAGE_FORMAT_UNSUPPORTED Send JPEG or PNG." in " ".join(ended.err.split())
    assert "ANALYSIS_ABANDONED Given up." in " ".join(ended.err.split())
    assert "gone.jpg: FILE_UNREADABLE" in " ".join(ended.err.split())


async def test_json_is_one_full_document_a_line(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    server.ingest.waits.append(finished(1, "a.jpg"))
    ended = await run_analyze(
        tmp_path / "a.jpg", tmp_path / "gone.jpg", "--json", "--no-caption", "--address", server.address
    )
    assert (ended.code, ended.err) == (1, "")
    documents = {
        Path(document["file"]).name: document for document in map(json.loads, ended.out.splitlines())
    }
    assert documents["a.jpg"]["image"]["insights"]["dominant_colors"][0]["color"]["hex"] == "#4682b4"
    assert documents["a.jpg"]["image"]["display_name"] == "a.jpg"
    assert documents["gone.jpg"]["error"]["reason"] == "FILE_UNREADABLE"
    (stored,) = server.ingest.images.values()
    assert stored.process_options.skip_caption


async def test_a_photo_that_takes_too_long_says_so(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    ended = await run_analyze(tmp_path / "a.jpg", "--timeout", "1", "--address", server.address)
    assert ended.code == 1
    assert "DEADLINE images/1 is not done after 1 s" in " ".join(ended.err.split())


async def test_nobody_there_is_one_line_for_all_photos(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"image")
    ended = await run_analyze(tmp_path, "--address", "127.0.0.1:1")
    assert ended.code == 1
    said = " ".join(ended.err.split())
    assert "a.jpg and 2 more: SERVICE_UNAVAILABLE Nothing answers at 127.0.0.1:1." in said
    assert "Start it with `sightmill up`" in said
    assert "Traceback" not in said


async def test_a_folder_without_photos_says_what_would_be_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    ended = await run_analyze(tmp_path)
    assert ended.code == 2
    assert ".jpg" in ended.err
    assert "--recursive" in ended.err


async def test_samples_are_fed_and_returned_in_order(server: ScriptedServer, tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        path.write_bytes(path.name.encode())
    server.ingest.done = {"images/1": finished(1, "a.png"), "images/2": finished(2, "b.png")}
    images = await feed_samples(server.address, paths)
    assert [image.display_name for image in images] == ["a.png", "b.png"]
    assert {image.labels["source"] for image in server.ingest.images.values()} == {"sample"}
