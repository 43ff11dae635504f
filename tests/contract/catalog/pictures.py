"""Results that analyzers might give, and images that have them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.catalog.colors import Rgb
from services.catalog.findings import Findings, Shown, read_findings
from services.catalog.model import NewImage
from services.catalog.states import ImageState
from services.catalog.store import CatalogStore
from sightmill.v1 import analyzer_pb2, captioner_pb2, common_pb2
from tests.contract.catalog.adapters import analysis, new_image, outcome

_VERSION, _SETTINGS = "1", "0011223344556677"


def insights(
    *,
    quality: float | None = None,
    blur: int = 0,
    scene: int = 0,
    face_count: int | None = None,
    text: str | None = None,
    colors: Iterable[Rgb] = (),
    camera: str = "",
    phash: int | None = None,
) -> bytes:
    """A serialized ``Insights``; what is None, 0 or empty was not measured. ``quality`` from 0 to 100."""
    made = analyzer_pb2.Insights()
    if quality is not None:
        made.luminance.quality_score = quality
    if blur:
        made.luminance.blur_level = analyzer_pb2.BlurLevel.ValueType(blur)
    if scene:
        made.scene.type = analyzer_pb2.SceneType.ValueType(scene)
    if face_count is not None:
        made.faces.SetInParent()
        for _ in range(face_count):
            made.faces.faces.add(confidence=0.9)
    if text is not None:
        made.text.SetInParent()
        made.text.text = text
    for red, green, blue in colors:
        color = common_pb2.Color(red=red, green=green, blue=blue, hex=f"#{red:02x}{green:02x}{blue:02x}")
        made.dominant_colors.add(color=color)
    if camera:
        made.exif.camera_model = camera
    if phash is not None:
        made.hashes.phash = phash
    return made.SerializeToString()


def caption(
    text: str = "", tags: Sequence[str] = (), objects: Sequence[str] = (), provider: str = ""
) -> bytes:
    """A serialized ``Caption``."""
    made = captioner_pb2.Caption(text=text, tags=tags, objects=objects, provider=provider)
    return made.SerializeToString()


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, and what workers find in it; a result that is None is not written."""

    image: NewImage
    insights: bytes | None = None
    caption: bytes | None = None
    state: ImageState = ImageState.PENDING

    @property
    def results(self) -> Mapping[str, bytes]:
        pairs = {"insights": self.insights, "caption": self.caption}
        return {analyzer: result for analyzer, result in pairs.items() if result is not None}

    def findings(self) -> Findings:
        """What a store derives."""
        shown = Shown(self.results, dict.fromkeys(self.results, (_VERSION, _SETTINGS)))
        return read_findings(self.image, self.state, b"", shown, b"")


async def store_picture(store: CatalogStore, content: str, picture: Picture) -> int:
    """Creates the image and writes what is found; returns its number. ``content`` is that of the image."""
    created, _ = await store.create_image(picture.image, "")
    analyses = []
    if picture.insights is not None:
        analyses.append(analysis(content, "insights", _VERSION, _SETTINGS, picture.insights))
    if picture.caption is not None:
        analyses.append(analysis(content, "caption", _VERSION, _SETTINGS, picture.caption))
    if picture.state is ImageState.PROCESSING:
        await store.start_images([created.number])
    state = picture.state if picture.state in {ImageState.PROCESSED, ImageState.FAILED} else None
    if analyses or state:
        assert await store.write_outcomes([outcome(created.number, *analyses, state=state)]) == [None]
    return created.number


COLORS: tuple[Rgb, ...] = (
    (250, 10, 10),
    (240, 20, 5),
    # In a cell next to that of the first, but too far from it.
    (228, 117, 78),
    (10, 10, 250),
    (128, 128, 128),
    (110, 125, 130),
)
TAGS = ("sea", "beach", "boat", "harbour", "sky")


def some_pictures(count: int, seed: int = 5) -> dict[str, Picture]:
    """Pictures by content, of every kind, with values that many and few of them share."""
    rng = random.Random(seed)  # noqa: S311  the same pictures every time
    return {f"content {index}": _some_picture(rng, f"content {index}", index) for index in range(count)}


def _some_picture(rng: random.Random, content: str, index: int) -> Picture:
    image = new_image(
        content,
        state=ImageState.STORED if index % 11 == 10 else ImageState.PENDING,
        labels={"parity": str(index % 2), **({"album": "S\u00f8lv & gold"} if index % 5 == 0 else {})},
        format_=1 + index % 3,
        size_bytes=1_000 + rng.randrange(8) * 500,
        width=100 + rng.randrange(6) * 100,
        name=rng.choice(("Sea.jpg", "\u00c4pfel_1.png", "img_0001.jpg", "")),
        batch=rng.choice(("", "batches/1", "batches/2")),
    )
    if image.state is ImageState.STORED:
        return Picture(image, state=ImageState.STORED)
    state = rng.choice(
        (ImageState.PENDING, ImageState.PROCESSING, ImageState.FAILED, *[ImageState.PROCESSED] * 5)
    )
    if state is not ImageState.PROCESSED:
        return Picture(image, state=state)
    found = insights(
        quality=rng.choice((None, 0.0, 12.34, 50.0, 100.0)),
        blur=rng.randrange(4),
        scene=rng.randrange(4),
        face_count=rng.choice((None, 0, 1, 2, 10, 12)),
        text=rng.choice((None, "", "Harbour open")),
        colors=rng.sample(COLORS, rng.randrange(3)),
        camera=rng.choice(("", "Alpha", "Beta")),
        phash=rng.choice((None, rng.randrange(2**64))),
    )
    described = caption(
        "A boat at sea.", rng.sample(TAGS, rng.randrange(4)), ("boat",), rng.choice(("", "one", "two"))
    )
    return Picture(image, found, rng.choice((None, described)), state)
