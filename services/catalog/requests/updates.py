"""What people may change of an image: labels and corrections, whole or in parts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.catalog.convert import read_into
from services.catalog.model import ImageChange, ImageRecord
from services.catalog.names import ImageKey, parse_image_name
from services.catalog.refusals import invalid_field
from services.catalog.requests.images import check_labels
from sightmill.v1 import catalog_pb2

MAX_TITLE_CHARS = 255
MAX_CAPTION_CHARS = 10_000
MAX_TAGS = 64
MAX_TAG_CHARS = 100
_LABEL_PREFIX = "labels."
_PARTS = ("title", "caption", "added_tags", "removed_tags")
# An edge that derives the mask from a body names these, too; they say which image and which revision.
_NAMING = frozenset({"name", "etag"})


@dataclass(frozen=True, slots=True)
class ImageUpdate:
    """A change of one image. ``revision`` is what the caller has seen, if they say.

    ``label_keys`` and ``parts`` (of the corrections) are changed alone, the rest of them stays as it is.
    """

    key: ImageKey
    revision: int | None
    image: catalog_pb2.Image
    all_labels: bool
    all_corrections: bool
    label_keys: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def needs_current(self) -> bool:
        """True when parts change, so that what the image has now must be known."""
        return bool(self.label_keys or self.parts)

    def change(self, current: ImageRecord | None) -> ImageChange:
        """What to write; ``current`` where it is needed. Raises ``InvalidArgumentError(INVALID_FIELD)``."""
        labels = dict(self.image.labels) if self.all_labels else None
        corrections = self.image.corrections if self.all_corrections else None
        if current is not None and self.label_keys:
            kept = {key: value for key, value in current.image.labels.items() if key not in self.label_keys}
            given = {key: self.image.labels[key] for key in self.label_keys if key in self.image.labels}
            labels = kept | given
        if current is not None and self.parts:
            corrections = self._merged_corrections(current)
        if labels is not None:
            check_labels(labels)
        return ImageChange(labels, None if corrections is None else parse_corrections(corrections))

    def _merged_corrections(self, current: ImageRecord) -> catalog_pb2.Corrections:
        merged = read_into(catalog_pb2.Corrections(), current.corrections)
        given = catalog_pb2.Corrections()
        given.CopyFrom(self.image.corrections)
        for part in _PARTS:
            (merged if part in self.parts else given).ClearField(part)  # type: ignore[arg-type]
        merged.MergeFrom(given)
        return merged


def parse_update(request: catalog_pb2.UpdateImageRequest) -> ImageUpdate:
    """Raises ``InvalidArgumentError`` (INVALID_NAME, INVALID_FIELD)."""
    paths = [path for path in request.update_mask.paths if path not in _NAMING]
    label_keys = tuple(path.removeprefix(_LABEL_PREFIX) for path in paths if path.startswith(_LABEL_PREFIX))
    parts = tuple(part for part in _PARTS if f"corrections.{part}" in paths)
    known = {"labels", "corrections", *(f"labels.{key}" for key in label_keys)}
    known |= {f"corrections.{part}" for part in parts}
    if not paths or not known.issuperset(paths):
        named = ", ".join(f"corrections.{part}" for part in _PARTS)
        raise invalid_field("update_mask", f"One or more of labels, labels.KEY, corrections, {named}.")
    return ImageUpdate(
        key=parse_image_name(request.image.name),
        revision=_parse_etag(request.image.etag),
        image=request.image,
        all_labels="labels" in paths,
        all_corrections="corrections" in paths,
        label_keys=() if "labels" in paths else label_keys,
        parts=() if "corrections" in paths else parts,
    )


def parse_corrections(corrections: catalog_pb2.Corrections) -> bytes:
    """The corrections as they are stored; no bytes when they say nothing.

    Raises ``InvalidArgumentError(INVALID_FIELD)``.
    """
    if len(corrections.title) > MAX_TITLE_CHARS:
        raise invalid_field("image.corrections.title", f"At most {MAX_TITLE_CHARS} characters.")
    if len(corrections.caption) > MAX_CAPTION_CHARS:
        raise invalid_field("image.corrections.caption", f"At most {MAX_CAPTION_CHARS:,} characters.")
    stored = catalog_pb2.Corrections()
    stored.CopyFrom(corrections)
    stored.added_tags[:] = _checked_tags("added_tags", corrections.added_tags)
    stored.removed_tags[:] = _checked_tags("removed_tags", corrections.removed_tags)
    both = {tag.lower() for tag in stored.added_tags} & {tag.lower() for tag in stored.removed_tags}
    if both:
        raise invalid_field(
            "image.corrections.removed_tags", f"A tag is added or removed, not both: {min(both)}."
        )
    return stored.SerializeToString(deterministic=True)


def _checked_tags(field: str, tags: Iterable[str]) -> list[str]:
    """Without space around, each once."""
    kept = list(dict.fromkeys(tag.strip() for tag in tags))
    if len(kept) > MAX_TAGS or not all(1 <= len(tag) <= MAX_TAG_CHARS for tag in kept):
        raise invalid_field(
            f"image.corrections.{field}", f"At most {MAX_TAGS} tags of 1 to {MAX_TAG_CHARS} characters."
        )
    return kept


def _parse_etag(etag: str) -> int | None:
    # Anything that was never given out is of no revision at all, and so of none that is current.
    if not etag:
        return None
    return int(etag) if re.fullmatch(r"[1-9][0-9]{0,17}", etag) else 0
