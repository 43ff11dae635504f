"""The figures of the analyzer's benchmark compare like with like."""

from __future__ import annotations

import numpy as np
import pytest

from bench import photos
from bench.analyzer import growth_per_1000
from bench.analyzer_contest import Rates
from bench.analyzer_service import DEFAULT
from bench.raw_calls import RawCalls
from services.analyzer import convert
from services.analyzer.analysis import Analyzer
from services.analyzer.plan import AnalyzerConfig, Insight
from services.analyzer.process import configure_threads
from sightmill.v1 import analyzer_pb2


def test_growth_is_the_slope_and_not_the_difference_of_the_ends() -> None:
    images = range(100, 5_100, 100)
    assert growth_per_1000(images, [200 + 0.003 * done for done in images]) == pytest.approx(3)
    assert growth_per_1000(images, [250.0 for _ in images]) == pytest.approx(0)
    late_jump = [250.0 for _ in images[:-1]] + [260.0]
    assert 0 < growth_per_1000(images, late_jump) < 0.4


def test_ratios_are_of_the_medians_of_rounds() -> None:
    rates = Rates(peer=[0.5], raw=[50, 10, 60], service=[45, 46, 2], as_the_peer=[55, 50, 60])
    assert (rates.over_peer, rates.all_over_peer) == (110, 90)
    assert rates.over_raw == 0.9


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    configure_threads()
    return Analyzer(AnalyzerConfig(with_location=True))


@pytest.mark.parametrize("megapixels", [0, 5, 12])
def test_raw_calls_find_what_the_service_finds(analyzer: Analyzer, megapixels: int) -> None:
    photo = photos.source_photo("astronaut").crop((0, 0, 512, 340))
    data = photos.encode(
        photos.add_sign(photos.enlarge(photo, megapixels * 1_000_000) if megapixels else photo)
    )
    chosen = [each.detector for each in convert.detector_infos(analyzer) if each.on_by_default]
    found = RawCalls(chosen, DEFAULT.thumbnail_edge).look(data)
    report = analyzer.analyze(data, convert.plan(DEFAULT))

    _, labels, centres = found["DETECTOR_COLORS"]
    order = np.argsort(-np.bincount(labels.ravel()), kind="stable")
    palette = report.value(Insight.COLOURS).colours
    assert centres[order].astype(int).tolist() == [[each.red, each.green, each.blue] for each in palette]

    light = report.value(Insight.LUMINANCE)
    _, _, variance, shadow, highlight, colorfulness = found["DETECTOR_LUMINANCE"]
    assert (variance, round(colorfulness, 2)) == (light.laplacian_variance, light.colorfulness)
    assert shadow / highlight == pytest.approx(light.shadow_share / light.highlight_share)

    place = report.value(Insight.SCENE)
    blue, green, means = found["DETECTOR_SCENE"]
    assert blue / green == pytest.approx(place.blue_share / place.green_share)
    assert means[1:3] == (place.mean_saturation, place.mean_value)

    hashes = report.value(Insight.HASHES)
    whole = [hashes.phash.to_bytes(8, "big"), hashes.dhash.to_bytes(8, "big"), hashes.color_signature]
    assert [each.tobytes() for each in found["DETECTOR_HASHES"]] == whole

    assert len(found["DETECTOR_FACES"]) == len(report.value(Insight.FACES).faces) > 0
    assert found["DETECTOR_TEXT"].text == report.value(Insight.TEXT).text
    assert "HARBOUR" in found["DETECTOR_TEXT"].text
    assert report.thumbnail
    assert found["thumbnail"] == report.thumbnail.data


def test_raw_calls_refuse_a_detector_that_they_do_not_know() -> None:
    with pytest.raises(RuntimeError, match="DETECTOR_MODERATION"):
        RawCalls([analyzer_pb2.DETECTOR_MODERATION], 300)
