"""Random histories: every store and a few dictionaries must look the same from outside."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.catalog.model import Analyzer, ImageQuery, PageOrder
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from services.runtime.errors import Reason, ServiceError
from tests.contract.catalog.adapters import START_US, Clock, OpenStore, analysis, new_image, outcome
from tests.contract.catalog.catalog_model import ModelCatalog, ModelImage

T = TypeVar("T")
CONTENTS = st.sampled_from("abcd")
FORMATS = {"a": 1, "b": 2, "c": 1, "d": 8}
PICKS = st.integers(0, 1_000)
ANALYZERS = st.sampled_from(("insights", "caption"))


class CatalogHistory(RuleBasedStateMachine):
    """One history; ``open_store`` is set by the test."""

    open_store: OpenStore

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sightmill-catalog-"))
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.model = ModelCatalog()
        self.open()

    def open(self) -> None:
        self.stack = AsyncExitStack()
        opening = self.stack.enter_async_context(type(self).open_store(self.folder, self.clock))
        self.store: CatalogStore = self.run(opening)

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def pick(self, number: int) -> ModelImage:
        images = list(self.model.images.values())
        return images[number % len(images)]

    @rule(
        content=CONTENTS,
        request_id=st.sampled_from(["", "", "r1", "r2"]),
        stored=st.booleans(),
        tie=st.booleans(),
    )
    def create(self, content: str, request_id: str, stored: bool, tie: bool) -> None:
        self.clock.step_us = 0 if tie else 1
        state = ImageState.STORED if stored else ImageState.PENDING
        new = new_image(content, state, format_=FORMATS[content], size_bytes=10 + ord(content))
        known = self.model.find_request(request_id)
        if known and known.content != content:
            with pytest.raises(ServiceError) as refusal:
                self.run(self.store.create_image(new, request_id))
            assert refusal.value.reason == Reason.REQUEST_ID_REUSED
            return
        image, created = self.run(self.store.create_image(new, request_id))
        assert created is (known is None)
        if known:
            assert image.number == known.number
            return
        self.model.last_number += 1
        assert image.number == self.model.last_number
        self.model.images[image.number] = ModelImage(
            image.number, content, state, request_id, new.format, new.size_bytes
        )

    @precondition(lambda self: self.model.images)
    @rule(picks=st.lists(PICKS, min_size=1, max_size=4))
    def start(self, picks: list[int]) -> None:
        numbers = list(dict.fromkeys(self.pick(pick).number for pick in picks))
        started = self.run(self.store.start_images(numbers))
        for number in numbers:
            self.model.start(number)
        assert [entry.image.number for entry in started] == [
            number for number in numbers if not self.model.images[number].hidden
        ]

    @precondition(lambda self: self.model.images)
    @rule(
        pick=PICKS,
        analyzers=st.lists(ANALYZERS, max_size=2, unique=True),
        version=st.sampled_from("12"),
        age_us=st.integers(0, 3),
        state=st.sampled_from([None, ImageState.PROCESSED, ImageState.FAILED]),
        times=st.integers(1, 3),
    )
    def write(
        self,
        pick: int,
        analyzers: list[Analyzer],
        version: str,
        age_us: int,
        state: ImageState | None,
        times: int,
    ) -> None:
        image = self.pick(pick)
        written = [
            analysis(
                image.content,
                analyzer,
                version,
                result=f"{version} {age_us}".encode(),
                create_time_us=START_US - age_us,
            )
            for analyzer in analyzers
        ]
        item = outcome(
            image.number, *written, state=state, error=b"\x08\x03" if state is ImageState.FAILED else b""
        )
        for _ in range(times):
            if self.model.accepts(image.number, item):
                self.run(self.store.write_outcome(item))
                self.model.write(image.number, item)
            else:
                with pytest.raises(ServiceError) as refusal:
                    self.run(self.store.write_outcome(item))
                assert refusal.value.reason == Reason.WRONG_STATE

    @precondition(lambda self: self.model.images)
    @rule(pick=PICKS)
    def delete(self, pick: int) -> None:
        image = self.pick(pick)
        keys = self.run(self.store.delete_image(image.number))
        unreferenced = self.model.delete(image.number)
        assert keys == ((new_image(image.content).blob_key,) if unreferenced else ())

    @precondition(lambda self: self.model.images)
    @rule(pick=PICKS)
    def hide_or_restore(self, pick: int) -> None:
        image = self.pick(pick)
        if image.hidden:
            self.run(self.store.restore_image(image.number))
        else:
            self.run(self.store.hide_image(image.number))
        image.hidden = not image.hidden

    @rule()
    def open_again(self) -> None:
        self.run(self.stack.aclose())
        self.open()

    @invariant()
    def counts_are_exact(self) -> None:
        stats = self.run(self.store.read_stats())
        blobs = self.model.blobs()
        assert stats.image_count == len(self.model.visible)
        assert stats.states == self.model.states()
        assert stats.formats == self.model.formats()
        assert (stats.blob_count, stats.blob_bytes) == (len(blobs), sum(blobs.values()))
        assert stats.analysis_count == len(self.model.analyses)

    @invariant()
    def lists_are_complete(self) -> None:
        unfinished = frozenset({ImageState.PENDING, ImageState.PROCESSING})
        for states in (frozenset[ImageState](), unfinished):
            expected = [image for image in self.model.visible if not states or image.state in states]
            listed = self.run(self.listed(ImageQuery(states=states)))
            assert listed == [(image.number, image.state) for image in expected]

    async def listed(self, query: ImageQuery) -> list[tuple[int, ImageState]]:
        found: list[tuple[int, ImageState]] = []
        order = PageOrder(3, newest_first=False)
        while True:
            page = await self.store.list_images(query, order, with_results=True)
            for image in page.images:
                found.append((image.number, image.image.state))
                for analyzer, shown in (("insights", image.insights), ("caption", image.caption)):
                    written = self.model.result(image.number, analyzer)
                    assert written is None or shown == written
            if page.next is None:
                return found
            order = PageOrder(3, page.next, newest_first=False)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)


@pytest.mark.timeout(300)
def test_any_history_gives_the_same_catalog(open_store: OpenStore) -> None:
    class History(CatalogHistory):
        pass

    History.open_store = staticmethod(open_store)
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            # A store is opened for each history, on a disk that others use, too.
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        ),
    )
