"""The analyzer over its stream, against the peer's method and against the bare library calls.

The three take turns, the peer with larger photos only once, so that a noisy machine harms all alike. Takes
some minutes, and says on stderr how far it is.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench import photos
from bench.analyzer_contest import CORES, Contest, Rates
from bench.analyzer_service import AS_THE_PEER, AnalyzerService, running_analyzer
from bench.figures import Figure
from bench.peer_analyzer import open_pool
from bench.raw_calls import RawCalls
from services.analyzer.process import configure_threads
from services.ingest.renditions import THUMBNAIL_EDGE

ROUNDS = 3
CALLS_A_PHOTO = 20
RSS_IMAGES = 5_000
RSS_WARM_UP = 1_000
RSS_STEP = 100
RSS_SCALE = 0.4


@dataclass(frozen=True, slots=True)
class PhotoClass:
    """Photos of one size: ``repeats`` of each a round; the peer takes part in ``peer_rounds`` rounds only."""

    name: str
    photos: Mapping[str, bytes]
    repeats: int
    peer_rounds: int
    peer_goal: float | None = None

    @property
    def ratio_method(self) -> str:
        """How its ratio to the peer comes about."""
        return (
            f"geometric mean over {len(self.photos)} photos of rate over one stream, asked for what the peer "
            f"answers (colours, luminance, scene, faces, text), / rate of the peer, both "
            f"with {CORES} cores busy with that photo, medians of {ROUNDS} and {self.peer_rounds} rounds"
        )


ClassRates = Mapping[str, Mapping[str, Rates]]


def run() -> dict[str, Figure]:
    """All rounds with one process, then the growth of a fresh one over many images."""
    configure_threads()  # for the library calls in this process, and inherited by the peer's processes
    classes = make_classes()
    rates = {each.name: {name: Rates() for name in each.photos} for each in classes}
    with tempfile.TemporaryDirectory() as folder, running_analyzer(Path(folder)) as service:
        raw = RawCalls(service.default_detectors(), THUMBNAIL_EDGE)
        with open_pool() as peer, ThreadPoolExecutor(CORES) as threads:
            latencies_ms = _run_rounds(Contest(peer, raw.look, threads, service), classes, rates)
        rss_mb = service.rss_mb()
    with tempfile.TemporaryDirectory() as folder, running_analyzer(Path(folder)) as service:
        slope = _measure_slope(service)
    return _ratios(classes, rates) | _costs(latencies_ms, rss_mb, slope)


def make_classes() -> list[PhotoClass]:
    """Three sizes, each with and without a face (astronaut) and text (page, signs)."""
    originals = {path.stem: photos.source_photo(path.stem) for path in photos.sources()}
    middle = {
        name: photos.enlarge(originals[name], 2_000_000)
        for name in ("astronaut", "china", "flower", "chelsea")
    }
    large = {name: photos.enlarge(originals[name], 12_000_000) for name in ("astronaut", "china")}
    originals["china_sign"] = photos.add_sign(originals["china"])
    middle["chelsea"] = photos.add_sign(middle["chelsea"])
    large["astronaut"] = photos.add_sign(large["astronaut"])
    return [
        PhotoClass("small", _encode(originals), repeats=40, peer_rounds=ROUNDS, peer_goal=40),
        PhotoClass("2mp", _encode(middle), repeats=24, peer_rounds=1),
        PhotoClass("12mp", _encode(large), repeats=16, peer_rounds=1, peer_goal=500),
    ]


def growth_per_1000(images: Sequence[float], rss_mb: Sequence[float]) -> float:
    """The least-squares slope of memory (MB) over images done, for 1,000 images."""
    return 1_000 * statistics.linear_regression(images, rss_mb).slope


def _encode(pictures: Mapping[str, Image.Image]) -> dict[str, bytes]:
    return {name: photos.encode(picture) for name, picture in pictures.items()}


def _run_rounds(contest: Contest, classes: Sequence[PhotoClass], rates: ClassRates) -> list[float]:
    """Fills ``rates`` and returns the time of each single call in ms."""
    small = classes[0].photos.values()
    latencies_ms: list[float] = []
    _tell("warming up")
    contest.warm_up([photo for each in classes for photo in each.photos.values()])
    for number in range(ROUNDS):
        for each in classes:
            _tell(f"round {number + 1} of {ROUNDS}, photos {each.name}")
            if number < each.peer_rounds:
                for name, rate in contest.peer_rates(each.photos).items():
                    rates[each.name][name].peer.append(rate)
            _take_turns(contest, each, rates[each.name])
        calls = [copy for photo in small for copy in photos.copies(photo, CALLS_A_PHOTO)]
        latencies_ms += contest.service.latencies_ms(calls)
    return latencies_ms


def _take_turns(contest: Contest, photo_class: PhotoClass, rates: Mapping[str, Rates]) -> None:
    for name, photo in photo_class.photos.items():
        many = photos.copies(photo, photo_class.repeats)
        each = rates[name]
        each.raw.append(contest.raw_rate(many))
        each.service.append(contest.service.rate(many))
        each.as_the_peer.append(contest.service.rate(many, AS_THE_PEER))
        _tell(
            f"  {name}: peer {each.peer[-1]:.3f}, library calls {each.raw[-1]:.1f}, "
            f"service {each.service[-1]:.1f}, peer's insights only {each.as_the_peer[-1]:.1f} photos/s"
        )


def _measure_slope(service: AnalyzerService) -> float:
    """Growth in MB per 1,000 images, of which no two have the same bytes."""
    some = photos.small_photos(RSS_STEP, RSS_SCALE)
    images: list[float] = []
    rss_mb: list[float] = []
    for done in range(0, RSS_WARM_UP + RSS_IMAGES, RSS_STEP):
        service.rate([photos.copies(photo, 1, first=done)[0] for photo in some])
        images.append(done + RSS_STEP)
        rss_mb.append(service.rss_mb())
        if images[-1] % 1_000 == 0:
            _tell(f"memory after {images[-1]:,} images: {rss_mb[-1]:.1f} MB")
    settled = RSS_WARM_UP // RSS_STEP
    return growth_per_1000(images[settled:], rss_mb[settled:])


def _ratios(classes: Sequence[PhotoClass], rates: ClassRates) -> dict[str, Figure]:
    everything = [rate for each in classes for rate in rates[each.name].values()]
    figures = {
        f"ratio_peer_{each.name}": Figure(
            statistics.geometric_mean([rate.over_peer for rate in rates[each.name].values()]),
            "",
            "higher",
            each.ratio_method,
            each.peer_goal,
        )
        for each in classes
    }
    for each in classes:
        figures[f"ratio_peer_{each.name}_default"] = Figure(
            statistics.geometric_mean([rate.all_over_peer for rate in rates[each.name].values()]),
            "",
            "higher",
            "the same with the default set of detectors and a thumbnail, which the peer does not make",
        )
    figures["ratio_raw"] = Figure(
        statistics.geometric_mean([rate.over_raw for rate in everything]),
        "",
        "higher",
        f"geometric mean over {len(everything)} photos of rate over one stream / rate of the library calls "
        f"in {CORES} threads, medians of {ROUNDS} rounds",
        goal=0.9,
    )
    for each in classes:
        figures[f"rate_{each.name}"] = Figure(
            statistics.geometric_mean(
                [statistics.median(rate.service) for rate in rates[each.name].values()]
            ),
            "photos/s",
            "higher",
            f"geometric mean over {len(each.photos)} photos of the rate over one stream",
        )
    return figures


def _costs(latencies_ms: Sequence[float], rss_mb: float, slope: float) -> dict[str, Figure]:
    hundredths = statistics.quantiles(latencies_ms, n=100)
    calls = f"of {len(latencies_ms)} AnalyzeImage calls, one in flight, photos of at most 1 megapixel"
    return {
        "p50_ms": Figure(hundredths[49], "ms", "lower", f"median {calls}"),
        "p99_ms": Figure(hundredths[98], "ms", "lower", f"99th percentile {calls}"),
        "rss_mb": Figure(rss_mb, "MB", "lower", "resident memory of the process tree after all rounds"),
        "rss_slope_mb_per_1000": Figure(
            slope,
            "MB",
            "lower",
            f"least-squares slope over {RSS_IMAGES:,} small photos after {RSS_WARM_UP:,} in a fresh process",
            goal=1.0,
        ),
    }


def _tell(progress: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {progress}", file=sys.stderr, flush=True)
