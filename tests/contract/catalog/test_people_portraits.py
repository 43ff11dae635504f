"""Clustering of real faces: shots of the same people, found and described by the analyzer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image, ImageEnhance

from services.analyzer.decode import DecodeLimits, Decoder
from services.analyzer.detectors.descriptors import DescriptorDetector
from services.analyzer.detectors.faces import FaceDetector
from services.catalog.people.model import Box
from tests.contract.catalog.adapters import Clock
from tests.contract.catalog.people_adapters import Seen, open_world

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
PORTRAITS = ("biden", "biden2", "obama", "obama2")
GROUPS = ("2008_001009", "2008_001322")
CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "half size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
}
See = Callable[[Image.Image], list[Seen]]


@pytest.fixture(scope="module")
def see() -> Iterator[See]:
    """Finds and describes the faces of a picture."""
    if not SHARED.is_dir():
        pytest.skip("no shared/data beside the checkout")
    describer, finder = DescriptorDetector.open(1, 60.0), FaceDetector.open(None)
    decoder = Decoder(DecodeLimits())
    if describer.equipment.missing:
        pytest.skip(describer.equipment.missing)

    def look(image: Image.Image) -> list[Seen]:
        data = BytesIO()
        image.save(data, "JPEG", quality=95)
        picture = decoder.decode(data.getvalue())
        faces = finder.detect(picture, None)
        vectors = describer.of(faces).detect(picture, None).vectors
        boxes: list[Box] = [(face.box.x, face.box.y, face.box.width, face.box.height) for face in faces.faces]
        return [Seen(box, tuple(vector)) for box, vector in zip(boxes, vectors, strict=True)]

    yield look
    describer.close()


def whose(name: str, face: Seen, faces: Sequence[Seen]) -> str:
    """A portrait is of whom it is called; on a photo of several they stand in one order from the left."""
    if name in PORTRAITS:
        return name.rstrip("0123456789")
    return f"{name} {sorted(other.box[0] for other in faces).index(face.box[0])}"


def pairs_of(groups: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Precision and recall of the pairs of faces that were put together; a face says whose it is."""
    together = [pair for group in groups for pair in itertools.combinations(group, 2)]
    everybody = [face for group in groups for face in group]
    right = sum(one == other for one, other in together)
    possible = sum(one == other for one, other in itertools.combinations(everybody, 2))
    return right / len(together), right / possible


async def test_shots_of_real_people_come_together(see: See, tmp_path: Path, clock: Clock) -> None:
    truth: dict[tuple[UUID, Box], str] = {}
    async with open_world("sqlite", tmp_path, clock) as world:
        for folder, name in (
            *(("photos", name) for name in PORTRAITS),
            *(("faces", name) for name in GROUPS),
        ):
            with Image.open(SHARED / folder / f"{name}.jpg") as opened:
                original = opened.convert("RGB")
            for change in CHANGES.values():
                faces = see(change(original))
                photo = await world.photo(*faces)
                truth |= {(photo, face.box): whose(name, face, faces) for face in faces}
        people = await world.placed()
        groups = [
            [truth[shown.face.image, shown.face.box] for shown in await world.faces(person.uuid)]
            for person in people
        ]
    precision, recall = pairs_of(groups)
    assert precision == 1.0
    assert recall >= 0.85, groups
