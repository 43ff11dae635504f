"""What analyses of today are made with, so that nothing is made twice."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from google.protobuf.timestamp_pb2 import Timestamp

from sightmill.v1 import analyzer_pb2, analyzer_pb2_grpc, captioner_pb2, captioner_pb2_grpc

Version = tuple[str, str]
FRESH_S = 10.0
ASK_TIMEOUT_S = 10.0


class CachedVersion:
    """Version and settings digest of a service, asked anew after ten seconds."""

    def __init__(
        self, ask: Callable[[], Awaitable[Version]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._known: Version | None = None
        self._known_at = 0.0

    async def get(self) -> Version:
        """The version; at most ten seconds old."""
        if self._known is None or self._clock() - self._known_at > FRESH_S:
            self._known = await self._ask()
            self._known_at = self._clock()
        return self._known


async def ask_analyzer(analyzer: analyzer_pb2_grpc.AnalyzerServiceAsyncStub) -> Version:
    """What new insights are made with."""
    info = await analyzer.GetAnalyzerInfo(analyzer_pb2.GetAnalyzerInfoRequest(), timeout=ASK_TIMEOUT_S)
    return info.analyzer_version, info.settings_digest


async def ask_captioner(captioner: captioner_pb2_grpc.CaptionerServiceAsyncStub) -> Version:
    """What new descriptions are made with."""
    chain = await captioner.ListProviders(captioner_pb2.ListProvidersRequest(), timeout=ASK_TIMEOUT_S)
    return chain.prompt_version, chain.settings_digest


def now() -> Timestamp:
    """The time of a new analysis; of two with the same key the later one holds."""
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp
