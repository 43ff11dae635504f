"""The catalog in a few dictionaries: what every store must look like from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from services.catalog.conditions import Condition, TermField
from services.catalog.findings import DOCUMENT_WEIGHTS, Findings, Shown, read_findings
from services.catalog.model import (
    ANALYZERS,
    AnalysisRecord,
    NewImage,
    OrderKey,
    Outcome,
    SearchWords,
    StrayBlob,
)
from services.catalog.states import ImageState
from services.runtime.errors import Reason
from tests.contract.catalog.condition_model import ImageFacts, evaluate, facts_of


@dataclass(slots=True)
class ModelImage:
    number: int
    new: NewImage
    request_id: str
    create_time_us: int
    state: ImageState
    error: bytes = b""
    corrections: bytes = b""
    # The turn in which it was hidden.
    hidden: int | None = None
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return self.new.sha256


@dataclass(slots=True)
class ModelBlob:
    size_bytes: int
    is_garbage: bool = False
    is_condemned: bool = False
    is_collected: bool = False
    generation: int = 0


@dataclass(slots=True)
class ModelCatalog:
    images: dict[int, ModelImage] = field(default_factory=dict)
    blobs: dict[str, ModelBlob] = field(default_factory=dict)
    # In the order in which they were stored first.
    analyses: dict[tuple[str, str, str, str], AnalysisRecord] = field(default_factory=dict)
    last_number: int = 0
    turn: int = 0

    @property
    def visible(self) -> list[ModelImage]:
        return [image for image in self.images.values() if image.hidden is None]

    @property
    def referred(self) -> set[str]:
        return {image.digest for image in self.images.values()}

    def find_request(self, request_id: str) -> ModelImage | None:
        found = [image for image in self.images.values() if request_id and image.request_id == request_id]
        return found[0] if found else None

    def create(self, new: NewImage, request_id: str, create_time_us: int) -> None:
        self.last_number += 1
        blob = self.blobs.setdefault(new.sha256, ModelBlob(new.size_bytes))
        blob.is_garbage = blob.is_collected = False
        image = ModelImage(self.last_number, new, request_id, create_time_us, new.state)
        self.images[image.number] = image
        if image.state.is_final:
            self._show_newest(image)

    def hide(self, number: int) -> None:
        self.turn += 1
        self.images[number].hidden = self.turn

    def delete(self, number: int) -> None:
        digest = self.images.pop(number).digest
        self.blobs[digest].is_garbage = digest not in self.referred

    def purge(self, most: int) -> int:
        hidden = sorted((image.hidden, image.number) for image in self.images.values() if image.hidden)
        for _, number in hidden[:most]:
            self.delete(number)
        return len(hidden[:most])

    def condemn(self) -> set[str]:
        """Everything that is garbage, now and since before."""
        found = {digest for digest, blob in self.blobs.items() if blob.is_garbage}
        for digest in found:
            self.blobs[digest].is_condemned = True
        self.analyses = {key: value for key, value in self.analyses.items() if key[0] not in found}
        return found

    def forget(self, digests: Iterable[str]) -> None:
        for digest in digests:
            blob = self.blobs.get(digest)
            if blob and blob.is_condemned:
                blob.is_garbage = blob.is_condemned = False
                blob.is_collected = True
                blob.generation += 1

    def adopt(self, stray: StrayBlob) -> int:
        known = stray.sha256 in self.blobs
        self.blobs.setdefault(stray.sha256, ModelBlob(stray.size_bytes, is_garbage=True))
        return int(not known)

    def start(self, number: int) -> None:
        image = self.images[number]
        if image.hidden is None and image.state is ImageState.PENDING:
            image.state = ImageState.PROCESSING

    def write(self, outcome: Outcome) -> int | None:
        """The reason of the refusal, or None when it is written."""
        if outcome.image is None:
            if any(analysis.sha256 not in self.referred for analysis in outcome.analyses):
                return Reason.IMAGE_NOT_FOUND
            for analysis in outcome.analyses:
                self._store(analysis)
            return None
        image = self.images.get(int(outcome.image))
        if image is None:
            return Reason.IMAGE_NOT_FOUND
        if image.state is ImageState.PROCESSED and outcome.state is ImageState.FAILED:
            return Reason.WRONG_STATE
        if any(analysis.sha256 != image.digest for analysis in outcome.analyses):
            return Reason.INVALID_FIELD
        for analysis in outcome.analyses:
            self._store(analysis)
            image.shown[analysis.analyzer] = (analysis.version, analysis.settings_digest)
        if outcome.state not in {None, image.state}:
            image.state, image.error = outcome.state or image.state, outcome.error
            self._show_newest(image)
        return None

    def result(self, image: ModelImage, analyzer: str) -> bytes | None:
        """What the image shows."""
        key = image.shown.get(analyzer)
        return self.analyses[image.digest, analyzer, *key].result if key else None

    def findings(self, image: ModelImage) -> Findings:
        results = {name: self.result(image, name) for name in ANALYZERS}
        shown = Shown({name: result for name, result in results.items() if result is not None}, image.shown)
        return read_findings(
            replace(image.new, state=image.state), image.state, image.error, shown, image.corrections
        )

    def facts(self, image: ModelImage) -> ImageFacts:
        return facts_of(image.new, image.create_time_us, self.findings(image))

    def listed(self, condition: Condition, key: OrderKey, *, descending: bool) -> list[int]:
        found = [(self.facts(image), image.number) for image in self.visible]
        kept = [(facts.numbers[key], number) for facts, number in found if evaluate(condition, facts)]
        return [number for _, number in sorted(kept, reverse=descending)]

    def hits(self, words: SearchWords, condition: Condition) -> list[tuple[int, int]]:
        """Score and number, the most relevant first."""
        found = [
            (score(self.findings(image), words), image.number)
            for image in self.visible
            if evaluate(condition, self.facts(image))
        ]
        return sorted((hit for hit in found if hit[0]), reverse=True)

    def facets(self, wanted: TermField, batch: str) -> list[tuple[str, int]]:
        counts = Counter(
            value
            for image in self.visible
            if not batch or image.new.batch == batch
            for name, value in self.findings(image).terms
            if name == wanted
        )
        return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))

    def _store(self, analysis: AnalysisRecord) -> None:
        key = (analysis.sha256, analysis.analyzer, analysis.version, analysis.settings_digest)
        known = self.analyses.get(key)
        if known is None or analysis.create_time_us > known.create_time_us:
            self.analyses[key] = analysis

    def _show_newest(self, image: ModelImage) -> None:
        for analyzer in ANALYZERS:
            of_bytes = [
                (record.create_time_us, place, (record.version, record.settings_digest))
                for place, (key, record) in enumerate(self.analyses.items())
                if key[:2] == (image.digest, analyzer)
            ]
            if analyzer not in image.shown and of_bytes:
                image.shown[analyzer] = max(of_bytes)[2]


def score(findings: Findings, wanted: SearchWords) -> int:
    """Sum over the clauses of the weight of the best part that has each; 0 when one is in none."""
    parts = [part.split(" ") for part in findings.document]
    clauses: list[list[bool]] = []
    clauses += [[word in part for part in parts] for word in wanted.words]
    clauses += [
        [any(word.startswith(prefix) for word in part) for part in parts] for prefix in wanted.prefixes
    ]
    clauses += [[_has_phrase(part, list(phrase)) for part in parts] for phrase in wanted.phrases]
    best = [
        max((weight for weight, found in zip(DOCUMENT_WEIGHTS, clause, strict=True) if found), default=0)
        for clause in clauses
    ]
    return sum(int(weight) for weight in best) if all(best) else 0


def _has_phrase(part: list[str], phrase: list[str]) -> bool:
    return any(part[start : start + len(phrase)] == phrase for start in range(len(part)))
