"""The page: the same on every run, goals judged, what is measured on named."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bench.figures import Figure
from bench.quality.report import missed_goals, write_report
from bench.quality.section import Illustration, Section, Table, count, percentage, share


def section(value: float) -> Section:
    return Section(
        "Faces",
        "How it was done.",
        {"recall": percentage(value, "faces found", 97), "seconds": Figure(1.25, "s", "lower", "watched")},
        (Table("Details", ("name", "value"), [("a|b", "1")]),),
        (Illustration("faces", "What was found.", Image.new("RGB", (8, 8), "red")),),
        ("One was missed.",),
    )


def test_the_page_shows_value_goal_and_verdict(tmp_path: Path) -> None:
    page = tmp_path / "quality.md"
    write_report(page, {"faces": section(96.5)}, ["two photos"])
    text = page.read_text()
    assert "| faces.recall | 96.5 % | ≥ 97 % | **missed** |" in text
    assert "| faces.seconds | 1.25 s |  |  |" in text
    assert "| a\\|b | 1 |" in text
    assert "![What was found.](images/faces.jpg)" in text
    assert "- two photos" in text
    assert "- One was missed." in text
    with Image.open(tmp_path / "images" / "faces.jpg") as picture:
        assert picture.size == (8, 8)


def test_the_same_measures_make_the_same_files(tmp_path: Path) -> None:
    written = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_report(tmp_path / name / "quality.md", {"faces": section(98)}, ["two photos"])
        written.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("*.*"))])
    assert written[0] == written[1]


def test_only_goals_can_be_missed() -> None:
    assert missed_goals({"good": section(97), "bad": section(96.9)}) == ["bad.recall"]
    assert missed_goals({"text": Section("", "", {"lost": count(1, "signs lost", 0)})}) == ["text.lost"]


def test_a_share_of_nothing_is_whole() -> None:
    assert (share(0, 0), share(1, 4)) == (100, 25)
