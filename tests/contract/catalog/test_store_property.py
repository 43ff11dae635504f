"""Random histories: every store and a few dictionaries must look the same from outside."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

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

from services.catalog.conditions import EVERYTHING, Condition, TermField
from services.catalog.model import (
    ImageChange,
    ImageQuery,
    OrderKey,
    PageOrder,
    Position,
    SearchPlace,
    SearchWords,
    StrayBlob,
)
from services.catalog.names import ImageKey
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from services.runtime.errors import Reason, ServiceError
from tests.contract.catalog.adapters import ADAPTERS, Clock, OpenStore, new_image, outcome
from tests.contract.catalog.catalog_model import ModelCatalog, ModelImage
from tests.contract.catalog.history_values import (
    BATCHES,
    CONDITIONS,
    CONTENTS,
    CORRECTIONS,
    FORMATS,
    LABELS,
    SEARCHES,
    WORDS,
    WRITTEN,
    WrittenAnalysis,
    analysis_of,
)

T = TypeVar("T")
PICKS = st.integers(0, 1_000)
ORDER_KEYS: st.SearchStrategy[OrderKey] = st.sampled_from(get_args(OrderKey))
TERM_FIELDS: st.SearchStrategy[TermField] = st.sampled_from(get_args(TermField))
# Pages may come back empty, but a catalog of this size ends.
MAX_PAGES = 500


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

    def refused(self, call: Coroutine[Any, Any, object], reason: int) -> ServiceError:
        with pytest.raises(ServiceError) as refusal:
            self.run(call)
        assert refusal.value.reason == reason
        return refusal.value

    def pick(self, number: int) -> ModelImage:
        images = list(self.model.images.values())
        return images[number % len(images)]

    @rule(
        content=st.sampled_from(CONTENTS),
        request_id=st.sampled_from(["", "", "", "r1", "r2"]),
        state=st.sampled_from([ImageState.PENDING, ImageState.STORED]),
        labels=LABELS,
        batch=BATCHES,
        tie=st.booleans(),
    )
    def create(
        self, content: str, request_id: str, state: ImageState, labels: dict[str, str], batch: str, tie: bool
    ) -> None:
        self.clock.step_us = 0 if tie else 1
        new = new_image(
            content,
            state,
            labels,
            format_=FORMATS[content],
            size_bytes=10 + len(content),
            width=len(labels) + 1,
            name=f"{content} {len(labels)}.jpg",
            batch=batch,
        )
        known = self.model.find_request(request_id)
        if known and known.digest != new.sha256:
            self.refused(self.store.create_image(new, request_id), Reason.REQUEST_ID_REUSED)
            return
        blob = self.model.blobs.get(new.sha256)
        generation = 0
        if not known and blob and blob.is_condemned:
            self.refused(self.store.create_image(new, request_id), Reason.BLOB_BEING_COLLECTED)
            return
        if not known and blob and blob.is_collected:
            refusal = self.refused(self.store.create_image(new, request_id), Reason.BLOB_COLLECTED)
            assert refusal.metadata["generation"] == str(blob.generation)
            generation = blob.generation
        image, created = self.run(self.store.create_image(new, request_id, generation))
        assert created is (known is None)
        if known is None:
            self.model.create(new, request_id, image.create_time_us)
        assert image.number == (known.number if known else self.model.last_number)

    @precondition(lambda self: self.model.images)
    @rule(picks=st.lists(PICKS, min_size=1, max_size=4))
    def start(self, picks: list[int]) -> None:
        numbers = list(dict.fromkeys(self.pick(pick).number for pick in picks))
        started = self.run(self.store.start_images(numbers))
        for number in numbers:
            self.model.start(number)
        assert [entry.image.number for entry in started] == [
            number for number in numbers if self.model.images[number].hidden is None
        ]

    @precondition(lambda self: self.model.images)
    @rule(items=st.lists(st.tuples(PICKS, WRITTEN), min_size=1, max_size=4), times=st.integers(1, 2))
    def write(self, items: list[tuple[int, WrittenAnalysis]], times: int) -> None:
        outcomes = []
        for pick, item in items:
            image = self.pick(pick)
            digest = image.digest if item.content is None else new_image(item.content).sha256
            key: ImageKey | None = {"image": image.number, "bytes": None, "unknown": 999_999}[item.target]
            made = [analysis_of(digest, analyzer, item) for analyzer in item.analyzers]
            state = item.state if key else None
            error = b"\x08\x03" if state is ImageState.FAILED else b""
            outcomes.append(outcome(key, *made, state=state, error=error))
        for _ in range(times):
            refusals = self.run(self.store.write_outcomes(outcomes))
            expected = [self.model.write(item) for item in outcomes]
            assert [refusal.reason if refusal else None for refusal in refusals] == expected

    @precondition(lambda self: self.model.images)
    @rule(
        pick=PICKS,
        labels=st.none() | LABELS,
        corrections=st.none() | CORRECTIONS,
        seen=st.sampled_from(["current", "older", "none"]),
    )
    def change(self, pick: int, labels: dict[str, str] | None, corrections: bytes | None, seen: str) -> None:
        image = self.pick(pick)
        change = ImageChange(labels, corrections)
        if image.hidden is not None:
            self.refused(self.store.change_image(image.number, change, None), Reason.IMAGE_NOT_FOUND)
            return
        revision = self.run(self.store.get_image(image.number, with_results=False)).revision
        if seen == "older":
            call = self.store.change_image(image.number, change, revision - 1)
            self.refused(call, Reason.ETAG_MISMATCH)
            return
        given = revision if seen == "current" else None
        changed = self.run(self.store.change_image(image.number, change, given))
        if labels is not None:
            image.new = replace(image.new, labels=labels)
        if corrections is not None:
            image.corrections = corrections
        assert (changed.image.labels, changed.corrections) == (image.new.labels, image.corrections)

    @precondition(lambda self: self.model.images)
    @rule(pick=PICKS, twins=st.booleans())
    def delete(self, pick: int, twins: bool) -> None:
        image = self.pick(pick)
        same = [other.number for other in self.model.images.values() if other.digest == image.digest]
        for number in same if twins else [image.number]:
            self.run(self.store.delete_image(number))
            self.model.delete(number)

    @precondition(lambda self: self.model.images)
    @rule(pick=PICKS)
    def hide_or_restore(self, pick: int) -> None:
        self.clock.step_us = 1
        image = self.pick(pick)
        if image.hidden is not None:
            self.run(self.store.restore_image(image.number))
            image.hidden = None
        else:
            self.run(self.store.hide_image(image.number))
            self.model.hide(image.number)

    @rule(purged=st.integers(0, 2), forgotten=st.sampled_from([(), CONTENTS]))
    def collect(self, purged: int, forgotten: tuple[str, ...]) -> None:
        later_us = self.clock.now_us + 1_000
        if purged:
            assert self.run(self.store.purge_hidden(later_us, purged)) == self.model.purge(purged)
        blobs = self.run(self.store.condemn_blobs(later_us, 1_000))
        assert {blob.sha256 for blob in blobs} == self.model.condemn()
        digests = [new_image(content).sha256 for content in forgotten]
        self.run(self.store.forget_blobs(digests))
        self.model.forget(digests)

    @rule(content=st.sampled_from(CONTENTS))
    def adopt(self, content: str) -> None:
        new = new_image(content, size_bytes=10 + len(content))
        stray = StrayBlob(new.sha256, new.blob_key, new.size_bytes)
        adopted = self.run(self.store.adopt_blobs([stray]))
        assert adopted == self.model.adopt(stray)

    @rule()
    def open_again(self) -> None:
        self.run(self.stack.aclose())
        self.open()

    @rule(
        condition=CONDITIONS,
        key=ORDER_KEYS,
        descending=st.booleans(),
        words=SEARCHES,
        field=TERM_FIELDS,
        batch=BATCHES,
        size=st.integers(1, 4),
    )
    def look(
        self,
        condition: Condition,
        key: OrderKey,
        descending: bool,
        words: SearchWords,
        field: TermField,
        batch: str,
        size: int,
    ) -> None:
        listed = self.run(self.list_all(ImageQuery(condition), PageOrder(size, None, descending, key)))
        assert listed == self.model.listed(condition, key, descending=descending)
        for among in (EVERYTHING, condition):
            assert self.run(self.search_all(words, among, size)) == self.model.hits(words, among)
        assert self.run(self.count_all(field, batch, size)) == self.model.facets(field, batch)

    @invariant()
    def counts_are_exact(self) -> None:
        stats = self.run(self.store.read_stats())
        visible = self.model.visible
        blobs = {image.digest: image.new.size_bytes for image in visible}
        assert stats.image_count == len(visible)
        assert stats.states == Counter(image.state for image in visible)
        assert stats.formats == Counter(image.new.format for image in visible)
        assert (stats.blob_count, stats.blob_bytes) == (len(blobs), sum(blobs.values()))
        referred = self.model.referred
        assert stats.analysis_count == sum(key[0] in referred for key in self.model.analyses)

    @invariant()
    def images_are_as_they_should_be(self) -> None:
        page = self.run(
            self.store.list_images(ImageQuery(), PageOrder(1_000, descending=False), with_results=True)
        )
        for record in page.images:
            image = self.model.images[record.number]
            assert record.image.state is image.state
            assert (record.insights, record.caption) == tuple(
                self.model.result(image, analyzer) for analyzer in ("insights", "caption")
            )

    async def list_all(self, query: ImageQuery, order: PageOrder) -> list[int]:
        found: list[int] = []
        after: Position | None = None
        for _ in range(MAX_PAGES):
            place = PageOrder(order.size, after, order.descending, order.key)
            page = await self.store.list_images(query, place, with_results=False)
            assert len(page.images) <= order.size
            found += [image.number for image in page.images]
            after = page.next
            if after is None:
                return found
        raise AssertionError("the list does not end")

    async def search_all(self, words: SearchWords, condition: Condition, size: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        after: SearchPlace | None = None
        for _ in range(MAX_PAGES):
            page = await self.store.search_images(words, condition, size, after)
            found += [(hit.score, hit.image.number) for hit in page.hits]
            after = page.next
            if after is None:
                return found
        raise AssertionError("the search does not end")

    async def count_all(self, field: TermField, batch: str, size: int) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        after: tuple[int, str] | None = None
        for _ in range(MAX_PAGES):
            page = await self.store.list_facets(field, batch, size, after)
            found += page.counts
            after = page.next
            if after is None:
                return found
        raise AssertionError("the counts do not end")

    def teardown(self) -> None:
        hidden = ImageQuery(with_hidden=True)
        assert sorted(self.run(self.list_all(hidden, PageOrder(3)))) == sorted(self.model.images)
        for field in get_args(TermField):
            assert self.run(self.count_all(field, "", 1_000)) == self.model.facets(field, "")
        for word in WORDS:
            found = self.run(self.search_all(SearchWords((word,)), EVERYTHING, 1_000))
            assert found == self.model.hits(SearchWords((word,)), EVERYTHING)
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)


@pytest.mark.timeout(300)
def test_any_history_gives_the_same_catalog(open_store: OpenStore) -> None:
    class History(CatalogHistory):
        pass

    History.open_store = staticmethod(open_store)
    is_fast = open_store is ADAPTERS["sqlite"]
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=30 if is_fast else 6,
            stateful_step_count=40 if is_fast else 25,
            deadline=None,
            # A store is opened for each history, on a disk that others use, too.
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        ),
    )
