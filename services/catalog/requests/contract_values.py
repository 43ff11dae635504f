"""What the contract calls the values that conditions and facets keep as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.catalog.conditions import TermField
from sightmill.v1 import analyzer_pb2, catalog_pb2, common_pb2

FACET_FIELDS: Mapping[str, TermField] = {
    "state": "state",
    "format": "format",
    "tag": "tag",
    "scene": "scene",
    "camera": "camera",
    "provider": "provider",
    "blur_level": "blur",
    "face_count": "faces",
    "has_text": "has_text",
    "batch": "batch",
    "label": "label",
    "analysis": "analysis",
}
"""Fields to count by, in the contract's words."""

HAS_TEXT = {"1": "true", "0": "false"}


@dataclass(frozen=True, slots=True)
class Enumeration:
    """The values of an enumeration: full names by number, without the unspecified one."""

    names: Mapping[int, str]
    prefix: str = ""

    def number_of(self, name: str) -> int | None:
        """The number of a full or short name, in any case."""
        wanted = name.upper()
        for number, full in self.names.items():
            if wanted in {full, full.removeprefix(self.prefix)}:
                return number
        return None

    @property
    def short_names(self) -> str:
        """All names, for people."""
        return ", ".join(name.removeprefix(self.prefix) for name in self.names.values())


def _named(numbers: Mapping[str, int]) -> dict[int, str]:
    return {number: name for name, number in numbers.items() if number}


STATES = Enumeration(_named(dict(catalog_pb2.Image.State.items())))
FORMATS = Enumeration(_named(dict(common_pb2.ImageFormat.items())), "IMAGE_FORMAT_")
BLUR_LEVELS = Enumeration(_named(dict(analyzer_pb2.BlurLevel.items())), "BLUR_LEVEL_")
SCENES = Enumeration(_named(dict(analyzer_pb2.SceneType.items())), "SCENE_TYPE_")
ENUMERATIONS: Mapping[TermField, Enumeration] = {
    "state": STATES,
    "format": FORMATS,
    "blur": BLUR_LEVELS,
    "scene": SCENES,
}


def value_name(field: TermField, value: str) -> str:
    """A value of a term as the contract calls it."""
    if field in ENUMERATIONS:
        return ENUMERATIONS[field].names.get(int(value), value)
    return HAS_TEXT.get(value, value) if field == "has_text" else value
