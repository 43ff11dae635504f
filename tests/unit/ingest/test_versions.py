"""How long a version is believed."""

from __future__ import annotations

import pytest

from services.ingest.versions import FRESH_S, CachedVersion, Version


class Service:
    """Counts how often it is asked; its version is that number."""

    def __init__(self) -> None:
        self.asked = 0
        self.problem: Exception | None = None

    async def version(self) -> Version:
        self.asked += 1
        if self.problem:
            raise self.problem
        return str(self.asked), "digest"


class Clock:
    """Time that stands until it is moved, in seconds."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


async def test_asked_again_after_ten_seconds_only() -> None:
    service, clock = Service(), Clock()
    cached = CachedVersion(service.version, clock)
    assert await cached.get() == await cached.get() == ("1", "digest")
    clock.now_s += FRESH_S
    assert await cached.get() == ("1", "digest")
    clock.now_s += 0.1
    assert await cached.get() == ("2", "digest")
    assert service.asked == 2


async def test_a_failed_question_is_asked_again_and_does_not_bring_the_old_answer_back() -> None:
    service, clock = Service(), Clock()
    cached = CachedVersion(service.version, clock)
    await cached.get()
    clock.now_s += FRESH_S + 1
    service.problem = ConnectionError()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await cached.get()
    service.problem = None
    assert await cached.get() == ("4", "digest")
