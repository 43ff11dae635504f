"""Images with results as a large catalog holds them: made up from a seed, skewed as real ones are."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from services.catalog.model import AnalysisRecord, NewImage
from services.catalog.states import ImageState
from sightmill.v1 import analyzer_pb2, captioner_pb2

FIRST_US = 1_700_000_000_000_000
VERSION, SETTINGS = "1.4.0", "0011223344556677"
_WORDS = 20_000
_CAMERAS = [f"Camera {number}" for number in range(40)]
_PROVIDERS = ("mistral", "openai", "local")
_FORMATS = (1, 1, 1, 1, 1, 1, 2, 2, 3, 7)
_COPY_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class MadeImage:
    """An image to record, and what a worker finds in it."""

    new: NewImage
    analyses: tuple[AnalysisRecord, AnalysisRecord]


def word(rank: int) -> str:
    """The word of a rank, 0 for the most frequent."""
    return f"w{rank:05d}"


def made_images(first: int, count: int) -> Iterator[MadeImage]:
    """Images by their index, the same ones in every run."""
    for index in range(first, first + count):
        yield _made_image(index, random.Random(index))  # noqa: S311  no secret


def _made_image(index: int, chance: random.Random) -> MadeImage:
    digest = hashlib.sha256(index.to_bytes(8, "big")).hexdigest()
    width, height = chance.choice(((640, 480), (1600, 1200), (4000, 3000), (1080, 1350)))
    new = NewImage(
        sha256=digest,
        blob_key=f"sha256/{digest[:2]}/{digest[2:4]}/{digest}",
        size_bytes=int(chance.lognormvariate(13, 1)) + 100,
        format=chance.choice(_FORMATS),
        width=width,
        height=height,
        color_mode="RGB",
        display_name=f"IMG_{index:07d}.jpg",
        labels={"album": f"album-{index % 500}"} if index % 3 == 0 else {},
        state=ImageState.PENDING,
    )
    created_us = FIRST_US + index
    insights = _insights(index, width, height, chance).SerializeToString()
    caption = _caption(chance).SerializeToString()
    return MadeImage(
        new,
        (
            AnalysisRecord(digest, "insights", VERSION, SETTINGS, insights, created_us, 9_000),
            AnalysisRecord(digest, "caption", "3", SETTINGS, caption, created_us, 900_000),
        ),
    )


def _insights(index: int, width: int, height: int, chance: random.Random) -> analyzer_pb2.Insights:
    insights = analyzer_pb2.Insights(
        analyzer_version=VERSION, settings_digest=SETTINGS, width=width, height=height, color_mode="RGB"
    )
    for share in (0.4, 0.25, 0.2, 0.1, 0.05):
        red, green, blue = chance.randrange(256), chance.randrange(256), chance.randrange(256)
        color = insights.dominant_colors.add(share=share, css_name="grey").color
        color.red, color.green, color.blue, color.hex = red, green, blue, f"#{red:02x}{green:02x}{blue:02x}"
    light = insights.luminance
    light.brightness, light.contrast, light.sharpness = chance.randrange(256), 40.5, chance.random() * 100
    light.blur_level = analyzer_pb2.BlurLevel.ValueType(chance.choice((1, 1, 1, 2, 2, 3)))
    light.quality_score = round(0.6 * light.sharpness + 16, 2)
    light.laplacian_variance = light.sharpness * 10
    insights.scene.type = analyzer_pb2.SceneType.ValueType(chance.choice((1, 1, 2, 3)))
    insights.scene.confidence = 0.8
    insights.faces.SetInParent()
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 5))):
        face = insights.faces.faces.add(confidence=0.99)
        face.box.x, face.box.y, face.box.width, face.box.height = 10, 10, 50, 60
    insights.text.SetInParent()
    if chance.random() < 0.2:
        insights.text.text = " ".join(_words(chance, 8))
        insights.text.word_count = 8
    original = index - 1_000 if chance.random() < _COPY_SHARE and index > 1_000 else index
    looks = random.Random(-original)  # noqa: S311  no secret
    insights.hashes.phash = looks.getrandbits(64) ^ (1 << chance.randrange(64) if original != index else 0)
    insights.hashes.dhash = looks.getrandbits(64)
    insights.hashes.color_signature = looks.randbytes(48)
    if chance.random() < 0.5:
        insights.exif.camera_model = _CAMERAS[min(int(chance.expovariate(0.2)), len(_CAMERAS) - 1)]
    return insights


def _caption(chance: random.Random) -> captioner_pb2.Caption:
    return captioner_pb2.Caption(
        text=" ".join(_words(chance, 12)).capitalize() + ".",
        tags=_words(chance, 6),
        objects=_words(chance, 3),
        language="en",
        provider=chance.choice(_PROVIDERS),
        model="model-1",
        prompt_version="3",
        settings_digest=SETTINGS,
    )


def _words(chance: random.Random, count: int) -> list[str]:
    """Words by Zipf's law: the rank is what a power of a chance gives."""
    return [word(int(_WORDS ** chance.random()) - 1) for _ in range(count)]
