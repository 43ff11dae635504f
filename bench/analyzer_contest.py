"""The three that are compared: the peer, the library calls and the service, each with all cores."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from bench.analyzer_service import AnalyzerService
from bench.peer_analyzer import time_analysis

CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Rates:
    """Photos a second with all cores busy with one photo, one number a round."""

    peer: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    service: list[float] = field(default_factory=list)
    as_the_peer: list[float] = field(default_factory=list)

    @property
    def over_peer(self) -> float:
        """How many times as fast the service is as the peer with the peer's insights, by the medians."""
        return statistics.median(self.as_the_peer) / statistics.median(self.peer)

    @property
    def all_over_peer(self) -> float:
        """The same with all that the service does by default."""
        return statistics.median(self.service) / statistics.median(self.peer)

    @property
    def over_raw(self) -> float:
        """What share of the library calls' rate the service reaches, by the medians."""
        return statistics.median(self.service) / statistics.median(self.raw)


@dataclass(frozen=True, slots=True)
class Contest:
    """A process a core for the peer, a thread a core for the library calls, one stream for the service."""

    peer: Executor
    raw: Callable[[bytes], object]
    threads: Executor
    service: AnalyzerService

    def warm_up(self, photos: Sequence[bytes]) -> None:
        """Has every process and thread load what it loads once."""
        everything = [photo for photo in photos for _ in range(2 * CORES)]
        list(self.peer.map(time_analysis, [photos[0]] * 2 * CORES))
        self.raw_rate(everything)
        self.service.rate(everything)

    def peer_rates(self, photos: Mapping[str, bytes]) -> dict[str, float]:
        """For each photo: cores / seconds that it takes one core while the others are busy with such, too."""
        names = list(photos) * -(-CORES // len(photos))
        taken = self.peer.map(time_analysis, [photos[name] for name in names])
        seconds: dict[str, list[float]] = {name: [] for name in photos}
        for name, seconds_taken in zip(names, taken, strict=True):
            seconds[name].append(seconds_taken)
        return {name: CORES / statistics.mean(each) for name, each in seconds.items()}

    def raw_rate(self, photos: Sequence[bytes]) -> float:
        """Photos a second of the library calls."""
        started = time.perf_counter()
        list(self.threads.map(self.raw, photos))
        return len(photos) / (time.perf_counter() - started)
