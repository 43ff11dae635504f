"""The table that people read, and the files that it is made of."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from sightmill.cli.analyze import expand
from sightmill.results import clean, print_results
from sightmill.samples import sample_photos
from sightmill.v1 import analyzer_pb2, captioner_pb2, catalog_pb2, common_pb2


def printed(*images: catalog_pb2.Image, width: int = 160, color: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=color,
        color_system="truecolor" if color else None,
        no_color=not color,
    )
    print_results(console, images)
    return out.getvalue()


def image(**fields: object) -> catalog_pb2.Image:
    defaults: dict[str, object] = {"name": "images/1", "state": catalog_pb2.Image.PROCESSED}
    return catalog_pb2.Image(**(defaults | fields))  # type: ignore[arg-type]


def palette(*shares: float) -> analyzer_pb2.Insights:
    colors = [
        analyzer_pb2.DominantColor(color=common_pb2.Color(hex=f"#{index:06x}"), share=share)
        for index, share in enumerate(shares)
    ]
    return analyzer_pb2.Insights(dominant_colors=colors)


@pytest.mark.parametrize(
    "shares", [(1.0,), (0.4, 0.3, 0.2, 0.05, 0.05), (0.2,) * 5, (0.96, 0.01, 0.01, 0.01, 0.01)]
)
def test_the_palette_is_twelve_cells_whatever_the_shares(shares: tuple[float, ...]) -> None:
    out = printed(image(insights=palette(*shares)), color=True)
    assert out.count("█") == 12


def test_what_was_not_measured_is_a_dash_and_nothing_found_is_not() -> None:
    unknown = printed(image(display_name="a"))
    assert unknown.count(" - ") >= 5
    looked = analyzer_pb2.Insights(faces=analyzer_pb2.FaceInsight(), text=analyzer_pb2.TextInsight())
    out = printed(image(display_name="a", insights=looked))
    assert "none" in out
    assert " 0 " in out


@pytest.mark.parametrize("width", [80, 160])
def test_codes_are_read_out_and_cannot_steer_the_terminal(width: int) -> None:
    code = analyzer_pb2.Barcode(format="QRCode", text="sightmill:\x1b[2J42")
    looked = analyzer_pb2.Insights(text=analyzer_pb2.TextInsight(), barcodes=[code])
    out = printed(image(insights=looked), width=width)
    assert "QRCode: sightmill: [2J42" in " ".join(out.split())
    assert "\x1b" not in out


def test_stand_ins_and_gaps_are_named_once() -> None:
    reports = [
        analyzer_pb2.DetectorReport(
            detector=analyzer_pb2.DETECTOR_TEXT,
            status=analyzer_pb2.DETECTOR_STATUS_UNAVAILABLE,
            message="Tesseract is not installed.",
        ),
        analyzer_pb2.DetectorReport(
            detector=analyzer_pb2.DETECTOR_FACES,
            status=analyzer_pb2.DETECTOR_STATUS_OK,
            engine="haar-frontalface-alt2",
            fallback=True,
        ),
    ]
    one = image(insights=analyzer_pb2.Insights(detectors=reports))
    out = printed(one, one)
    assert out.count("Note: text not available: Tesseract is not installed.") == 1
    assert out.count("Note: faces found by a simpler engine, haar-frontalface-alt2") == 1


def test_names_and_texts_cannot_steer_the_terminal() -> None:
    evil = "a\x1b[2J\u202e\nb"
    caption = captioner_pb2.Caption(text="[red]x[/red] \x1b]0;title\x07")
    out = printed(image(display_name=evil, caption=caption))
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[red]x[/red]" in out
    assert clean(evil) == "a [2J b"


def test_a_correction_wins_over_the_computed_caption() -> None:
    said = image(
        caption=captioner_pb2.Caption(text="computed"),
        corrections=catalog_pb2.Corrections(caption="corrected"),
    )
    assert "corrected" in printed(said)
    assert "computed" not in printed(said)


def test_folders_become_their_photos_each_once(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.HEIC", "readme.md", ".c.png", "deep/d.webp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    flat = expand([tmp_path, tmp_path / "b.jpg"], recursive=False)
    assert [path.name for path in flat] == ["a.HEIC", "b.jpg"]
    deep = expand([tmp_path], recursive=True)
    assert [path.name for path in deep] == ["a.HEIC", "b.jpg", "d.webp"]
    assert expand([tmp_path / "readme.md", tmp_path / "gone"], recursive=False) == [
        tmp_path / "readme.md",
        tmp_path / "gone",
    ]


def test_the_samples_are_real_files() -> None:
    assert len(sample_photos()) >= 5
    assert all(path.stat().st_size > 10_000 for path in sample_photos())
