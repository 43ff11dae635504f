"""What random histories are made of: few values, so that they meet each other often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

from services.catalog.conditions import (
    ColorNear,
    Condition,
    NameContains,
    Not,
    SameBytes,
    Term,
    TermField,
    Within,
    all_of,
    any_of,
)
from services.catalog.model import ANALYZERS, AnalysisRecord, Analyzer, SearchWords
from services.catalog.states import ImageState
from sightmill.v1 import analyzer_pb2, captioner_pb2, catalog_pb2, common_pb2
from tests.contract.catalog.adapters import START_US, digest_of

SETTINGS = "0011223344556677"
CONTENTS = ("sea", "sky", "shore")
FORMATS = {"sea": 1, "sky": 2, "shore": 8}
BATCHES = st.sampled_from(["", "", "batches/1", "batches/2"])
LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "1", "x=y"]), max_size=2)
TAGS = ("boat", "sea", "night sky")
COLORS = ((255, 0, 0), (250, 10, 10), (0, 0, 255), (128, 128, 128))


@dataclass(frozen=True, slots=True)
class WrittenAnalysis:
    """What a worker writes; ``content`` None for the bytes of the image."""

    target: Literal["image", "bytes", "unknown"]
    content: str | None
    analyzers: tuple[Analyzer, ...]
    version: str
    age_us: int
    state: ImageState | None


WRITTEN = st.builds(
    WrittenAnalysis,
    target=st.sampled_from([*["image"] * 8, "bytes", "unknown"]),
    content=st.sampled_from([*[None] * 8, "sea"]),
    analyzers=st.sampled_from([ANALYZERS, ANALYZERS[:1], ANALYZERS[1:], ()]),
    version=st.sampled_from("112"),
    age_us=st.integers(0, 3),
    state=st.sampled_from([None, ImageState.PROCESSED, ImageState.PROCESSED, ImageState.FAILED]),
)


def analysis_of(digest: str, analyzer: Analyzer, item: WrittenAnalysis) -> AnalysisRecord:
    """An analysis that is what its digest, version and age say, and so is never two things at a time."""
    seed = int(digest[0], 16) + 3 * item.age_us + int(item.version)
    result = _insights(seed) if analyzer == "insights" else _caption(seed)
    # No two versions have the same time: which of them is newer must be plain.
    create_time_us = START_US - 2 * item.age_us - int(item.version)
    return AnalysisRecord(digest, analyzer, item.version, SETTINGS, result, create_time_us, 5_000)


def _insights(seed: int) -> bytes:
    insights = analyzer_pb2.Insights(analyzer_version="1")
    if seed % 4:
        insights.luminance.quality_score = seed % 5 + 0.35
        insights.luminance.blur_level = analyzer_pb2.BlurLevel.ValueType(seed % 3 + 1)
        insights.scene.type = analyzer_pb2.SceneType.ValueType(seed % 3 + 1)
        insights.faces.faces.extend([analyzer_pb2.Face()] * (seed % 12))
        insights.text.text = ("", "Boat for sale", "sea boat")[seed % 3]
        insights.hashes.phash = 1 << 63 | seed
    insights.exif.camera_model = ("", "Canon EOS R5")[seed % 2]
    for red, green, blue in COLORS[seed % 4 :]:
        insights.dominant_colors.add(color=common_pb2.Color(red=red, green=green, blue=blue))
    return insights.SerializeToString()


def _caption(seed: int) -> bytes:
    return captioner_pb2.Caption(
        text=("A boat at sea.", "The night sky", "")[seed % 3],
        tags=TAGS[: seed % 4],
        objects=("mast", "sea boat")[: seed % 3],
        provider=("", "openai")[seed % 2],
    ).SerializeToString()


CORRECTIONS = st.builds(
    catalog_pb2.Corrections,
    title=st.none() | st.just("Boat and night"),
    caption=st.none() | st.just("") | st.just("Sea of stars"),
    added_tags=st.lists(st.sampled_from(["Stars", "boat"]), max_size=2, unique=True),
    removed_tags=st.lists(st.sampled_from(["sea", "night sky"]), max_size=2, unique=True),
).map(lambda said: said.SerializeToString(deterministic=True))

_VALUES: list[tuple[TermField, list[str]]] = [
    ("state", ["1", "2", "3", "4", "5"]),
    ("format", ["1", "2", "8", "3"]),
    ("blur", ["1", "2", "3"]),
    ("scene", ["1", "2"]),
    ("has_text", ["0", "1"]),
    ("faces", ["0", "3", "10"]),
    ("camera", ["Canon EOS R5", "none"]),
    ("provider", ["openai"]),
    ("batch", ["batches/1", "batches/2", "batches/3"]),
    ("label", ["a=1", "a=", "b=x=y", "c=1"]),
    ("tag", ["boat", "sea", "stars", "night sky"]),
    ("analysis", [f"insights 1 {SETTINGS}", f"insights 2 {SETTINGS}", "insights none", "caption none"]),
]
_LEAVES: st.SearchStrategy[Condition] = st.one_of(
    st.sampled_from([Term(field, value) for field, values in _VALUES for value in values]),
    st.builds(Within, st.just("size_bytes"), st.none() | st.just(14), st.none() | st.just(14)),
    st.builds(Within, st.just("width"), st.none() | st.integers(0, 3), st.none() | st.integers(0, 3)),
    st.builds(Within, st.just("quality"), st.none() | st.just(100), st.none() | st.just(235)),
    st.builds(Within, st.just("face_count"), st.none() | st.just(0), st.none() | st.just(4)),
    st.builds(Within, st.just("create_time_us"), st.none() | st.just(START_US + 20), st.just(START_US + 90)),
    st.sampled_from([ColorNear(*color) for color in (*COLORS, (0, 255, 0))]),
    st.sampled_from([NameContains(text) for text in ("s", "sea", "1.jpg", "none")]),
    st.sampled_from([SameBytes(digest_of(content)) for content in CONTENTS]),
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(all_of),
        st.lists(inner, min_size=2, max_size=3).map(any_of),
        inner.map(Not),
    ),
    max_leaves=5,
)

WORDS = ("boat", "sea", "night", "sky", "jpg", "mast", "absent")
SEARCHES = st.builds(
    SearchWords,
    words=st.lists(st.sampled_from(WORDS), max_size=2, unique=True).map(tuple),
    prefixes=st.lists(st.sampled_from(["bo", "se", "ni", "xx"]), max_size=1).map(tuple),
    phrases=st.lists(
        st.sampled_from([("night", "sky"), ("sea", "boat"), ("boat", "at", "sea"), ("boat", "sea")]),
        max_size=1,
    ).map(tuple),
).filter(lambda words: bool(words.words or words.prefixes or words.phrases))
