"""The program: its subjects exist, wrong names are refused, and one of them runs from end to end."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from PIL import Image

from bench.quality import luminance
from bench.quality.__main__ import SUBJECTS, main
from bench.quality.duplicates import Copy, Gallery, is_copy, measure_phash, within
from bench.quality.samples import Samples
from bench.quality.section import Section
from bench.quality.workbench import InsightMissingError, Workbench
from services.analyzer.analysis import Analyzer
from services.analyzer.detectors.hashes import Hashes
from services.analyzer.plan import AnalyzerConfig, Insight
from services.analyzer.toolbox import open_detectors


class OnePhoto(Samples):
    """Samples of a single small photo, so that a subject takes seconds."""

    def photos(self) -> list[tuple[str, Image.Image]]:
        return [("coffee.png", self.open("coffee.png").resize((300, 200)))]


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench(Analyzer(AnalyzerConfig()), OnePhoto(None))


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_subject_can_be_measured(name: str) -> None:
    assert callable(importlib.import_module(f"bench.quality.{name}").measure)


@pytest.mark.parametrize(
    ("arguments", "complaint"), [(["noses"], "no subject noses"), (["--data", "nowhere"], "is no folder")]
)
def test_wrong_arguments_are_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


def test_the_luminance_subject_agrees_with_itself(bench: Workbench) -> None:
    section: Section = luminance.measure(bench)
    assert section.figures["blur_level_same"].value == 100
    assert section.figures["brightness_off"].value == 0
    assert section.figures["blur_level_same"].met


def test_recall_and_false_rate_are_counted_by_hand() -> None:
    originals = [Hashes(0, 0, b""), Hashes(0b1111, 0, b"")]
    copies = [
        Copy(0, "cropped", Hashes(0b1, 0, b"")),
        Copy(0, "cropped", Hashes(0b111, 0, b"")),
        Copy(1, "darker", Hashes(0b1111, 0, b"")),
    ]
    gallery = Gallery(originals, copies)
    assert gallery.recall({"cropped"}, within(measure_phash, 1)) == 50
    assert gallery.recall({"cropped", "darker"}, within(measure_phash, 3)) == 100
    # Of three pairs of strangers one is 1 bit apart, one 3, one 4.
    assert gallery.pairs == 3
    rates = [gallery.false_rate(within(measure_phash, most)) for most in (0, 1, 3, 4)]
    assert rates == pytest.approx([0, 100 / 3, 200 / 3, 100])


@pytest.mark.parametrize(
    ("phash_bits", "dhash_bits", "colours", "copy"),
    [
        (10, 64, 255, True), (11, 64, 0, True), (14, 64, 8, True), (64, 14, 8, True), (64, 15, 0, False),
        (15, 15, 0, False), (14, 14, 9, False), (11, 11, 9, False),
    ],
)  # fmt: skip
def test_the_recommended_rule(phash_bits: int, dhash_bits: int, colours: int, copy: bool) -> None:
    one = Hashes(0, 0, bytes(48))
    other = Hashes((1 << phash_bits) - 1, (1 << dhash_bits) - 1, bytes([colours] * 48))
    assert is_copy(one, other) is is_copy(other, one) is copy


def test_a_detector_that_does_not_answer_is_no_measure(tmp_path: Path) -> None:
    config = AnalyzerConfig(tessdata=tmp_path)
    bench = Workbench(Analyzer(config, open_detectors(config)), Samples(None))
    with pytest.raises(InsightMissingError, match=Insight.TEXT.value):
        bench.text(bench.samples.free("coffee.png").read_bytes())
