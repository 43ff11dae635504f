"""The catalog in a few dictionaries: what every store must look like from outside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from services.catalog.model import AnalysisRecord, Outcome
from services.catalog.states import ImageState


@dataclass(slots=True)
class ModelImage:
    number: int
    content: str
    state: ImageState
    request_id: str
    format: int
    size_bytes: int
    hidden: bool = False
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class ModelCatalog:
    images: dict[int, ModelImage] = field(default_factory=dict)
    analyses: dict[tuple[str, str, str, str], AnalysisRecord] = field(default_factory=dict)
    last_number: int = 0

    @property
    def visible(self) -> list[ModelImage]:
        return [image for image in self.images.values() if not image.hidden]

    def find_request(self, request_id: str) -> ModelImage | None:
        found = [image for image in self.images.values() if request_id and image.request_id == request_id]
        return found[0] if found else None

    def delete(self, number: int) -> bool:
        """True when no image refers to the bytes any more."""
        content = self.images.pop(number).content
        if any(image.content == content for image in self.images.values()):
            return False
        self.analyses = {key: value for key, value in self.analyses.items() if key[0] != content}
        return True

    def start(self, number: int) -> None:
        image = self.images[number]
        if not image.hidden and image.state is ImageState.PENDING:
            image.state = ImageState.PROCESSING

    def accepts(self, number: int, outcome: Outcome) -> bool:
        return number in self.images and not (
            self.images[number].state is ImageState.PROCESSED and outcome.state is ImageState.FAILED
        )

    def write(self, number: int, outcome: Outcome) -> None:
        image = self.images[number]
        for analysis in outcome.analyses:
            key = (image.content, analysis.analyzer, analysis.version, analysis.settings_digest)
            known = self.analyses.get(key)
            if known is None or analysis.create_time_us > known.create_time_us:
                self.analyses[key] = analysis
            image.shown[analysis.analyzer] = (analysis.version, analysis.settings_digest)
        image.state = outcome.state or image.state

    def result(self, number: int, analyzer: str) -> bytes | None:
        """What the image shows, when something was written for it."""
        image = self.images[number]
        if analyzer not in image.shown:
            return None
        return self.analyses[image.content, analyzer, *image.shown[analyzer]].result

    def states(self) -> Counter[ImageState]:
        return Counter(image.state for image in self.visible)

    def formats(self) -> Counter[int]:
        return Counter(image.format for image in self.visible)

    def blobs(self) -> dict[str, int]:
        return {image.content: image.size_bytes for image in self.visible}
