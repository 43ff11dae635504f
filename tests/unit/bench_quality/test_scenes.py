"""What is drawn for the report: the same on every run, and where its truth says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageOps

from bench.quality import peer
from bench.quality.changes import SLIGHT, STRONG, UNEXPECTED
from bench.quality.face_scenes import BACKGROUNDS, paste_faces
from bench.quality.orientation import TURNS, store
from bench.quality.samples import WITH_PEOPLE, WITHOUT_PEOPLE, Samples, fit
from bench.quality.text_scenes import PHRASES, fonts, render_pages, render_signs

FREE = Samples(None)


def test_every_listed_photo_is_there() -> None:
    for name in (*WITH_PEOPLE, *WITHOUT_PEOPLE):
        assert FREE.free(name).is_file()
    assert FREE.shared_files("faces", ".jpg") == []
    with pytest.raises(FileNotFoundError, match=r"nobody\.png"):
        FREE.free("nobody.png")


def test_shared_photos_count_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    for name in ("b.jpg", "a.jpg", "truth.json"):
        (tmp_path / "faces" / name).touch()
    assert [path.name for path in Samples(tmp_path).shared_files("faces", ".jpg")] == ["a.jpg", "b.jpg"]


def test_signs_change_the_photo_inside_their_crop_only() -> None:
    photo = FREE.open("coffee.png")
    scenes = list(render_signs([photo], 12, 3))
    again = list(render_signs([photo], 12, 3))
    assert len(scenes) == 12
    for scene, twin in zip(scenes, again, strict=True):
        assert scene.truth in PHRASES
        assert scene.image.tobytes() == twin.image.tobytes()
        left, top, right, bottom = ImageChops.difference(scene.image, photo).getbbox() or (0, 0, 0, 0)
        assert scene.crop[0] <= left < right <= scene.crop[2]
        assert scene.crop[1] <= top < bottom <= scene.crop[3]


def test_pages_hold_ink_and_truth() -> None:
    pages = list(render_pages())
    assert len({page.kind for page in pages}) == len(pages) >= 9
    for page in pages:
        assert np.asarray(page.image.convert("L")).std() > 10, page.kind
        assert page.truth.startswith("The old mill")


def test_fonts_are_as_high_as_asked() -> None:
    for name, stamp in fonts():
        box = stamp("Hamburg", 40).getbbox()
        assert box, name
        assert 28 <= box[3] - box[1] <= 46, name


def test_faces_stand_where_the_truth_says() -> None:
    scenes = list(paste_faces(FREE, (60, 120), 600))
    assert len(scenes) == 2 * len(BACKGROUNDS)
    for scene in scenes:
        box = scene.face
        assert box.height == scene.height_px
        assert 0 <= box.x < box.x + box.width <= scene.image.width
        assert 0 <= box.y < box.y + box.height <= scene.image.height
        # Skin: more red than blue in the middle of the face.
        middle = scene.image.crop((box.x + box.width // 4, box.y + box.height // 3,
                                   box.x + box.width * 3 // 4, box.y + box.height * 2 // 3))  # fmt: skip
        red, _, blue = np.asarray(middle).reshape(-1, 3).mean(axis=0)
        assert red > blue + 20


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_stored_pictures_are_turned_upright_by_their_tag(kind: str) -> None:
    upright = fit(FREE.open("chelsea.png"), 20_000)
    for orientation in TURNS:
        with Image.open(io.BytesIO(store(upright, orientation, kind, quality=90))) as stored:
            shown = ImageOps.exif_transpose(stored).convert("RGB")
        assert shown.size == upright.size
        off = np.abs(np.asarray(shown, np.int16) - np.asarray(upright, np.int16))
        assert off.mean() < 8, (kind, orientation)


def test_every_change_gives_another_file_of_the_photo() -> None:
    photo = fit(FREE.open("chelsea.png"), 20_000)
    copies = {name: change(photo) for name, change in {**SLIGHT, **STRONG, **UNEXPECTED}.items()}
    assert len(set(copies.values())) == len(copies)
    for data in copies.values():
        Image.open(io.BytesIO(data)).load()


def test_the_peer_measures_by_its_formulas() -> None:
    flat = peer.measure_luminance(Image.new("RGB", (5, 4), (100, 100, 100)))
    assert (flat.brightness, flat.contrast, flat.laplacian_variance, flat.blur_level) == (100, 0, 0, "high")
    dot = np.zeros((5, 5), np.uint8)
    dot[2, 2] = 100
    measured = peer.measure_luminance(Image.fromarray(dot))
    # -400 in the middle and 100 at its four neighbours, sum 0: (160000 + 4 * 10000) / 25.
    assert measured.laplacian_variance == pytest.approx(8000)
    assert (measured.sharpness, measured.blur_level) == (100, "low")
    halves = Image.new("RGB", (10, 10), "black")
    halves.paste((255, 0, 0), (0, 0, 10, 4))
    assert sorted(peer.find_palette(halves)) == [((0, 0, 0), 0.6), ((255, 0, 0), 0.4)]
