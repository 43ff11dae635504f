"""Upright: a picture stored turned, with the tag that says so, has the insights of the upright one."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pillow_heif
from PIL import Image

from bench.figures import Figure
from bench.quality.box_matching import overlap
from bench.quality.colour_difference import match_palettes, to_lab
from bench.quality.samples import encode
from bench.quality.section import Section, Table, percentage, share
from bench.quality.text_scenes import fonts
from bench.quality.workbench import View, Workbench
from services.analyzer.detectors.colours import Palette
from services.analyzer.detectors.hashes import compare_hashes
from services.analyzer.picture import Box

_Method = Image.Transpose
# How to store an upright picture so that the EXIF value shows it upright again.
TURNS: Mapping[int, Image.Transpose | None] = {
    1: None, 2: _Method.FLIP_LEFT_RIGHT, 3: _Method.ROTATE_180, 4: _Method.FLIP_TOP_BOTTOM,
    5: _Method.TRANSPOSE, 6: _Method.ROTATE_90, 7: _Method.TRANSVERSE, 8: _Method.ROTATE_270,
}  # fmt: skip
_ORIENTATION_TAG = 0x0112
# PNG and lossless WebP leave nothing to re-encoding: there every insight must be the very same.
FORMATS: Mapping[str, Mapping[str, object]] = {
    "PNG": {"compress_level": 1},
    "WEBP lossless": {"lossless": True, "quality": 0},
    "JPEG": {"quality": 92, "subsampling": 0},
    "WEBP": {"quality": 90},
    "HEIF": {"quality": 85, "chroma": 444},
    "AVIF": {"quality": 85, "subsampling": "4:4:4", "speed": 9},
}
LOSSLESS = ("PNG", "WEBP lossless")


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far the insights of a turned file are from those of the upright one of its format."""

    kind: str
    orientation: int
    identical: bool
    face_overlap: float
    word_overlap: float
    same_words: bool
    same_levels: bool
    brightness: float
    delta_e: float
    hash_bits: int


def store(image: Image.Image, orientation: int, kind: str, **options: object) -> bytes:
    """A file whose stored pixels are turned, and whose tag (HEIC, AVIF: container) turns them upright."""
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = orientation
    method = TURNS[orientation]
    stored = image if method is None else image.transpose(method)
    # As bytes: from an Exif object the HEIC encoder takes no orientation.
    return encode(stored, kind, exif=exif.tobytes(), **options)


def measure(bench: Workbench) -> Section:
    """Eight orientations in each format."""
    pillow_heif.register_heif_opener()
    deviations = [
        deviation
        for scene in _scenes(bench)
        for kind, options in FORMATS.items()
        for deviation in _compare(bench, scene, kind, options)
    ]
    return Section(
        "Upright",
        "Two photos with a sign, one with a face, are stored in the eight EXIF orientations: as PNG, WebP and"
        " JPEG with the EXIF tag, as HEIC and AVIF with rotation and mirror of the container. Each is"
        " compared with orientation 1 of its format. Lossless formats must give identical insights, boxes"
        " included; in the others what differs is re-encoding: the coder sees other blocks.",
        {
            "lossless_identical": _agreement(
                [each for each in deviations if each.kind in LOSSLESS],
                lambda each: each.identical,
                "lossless files with identical insights",
                100,
            ),
            "same_levels": _agreement(
                deviations, lambda each: each.same_levels, "files with the same scene and blur level", 100
            ),
            "same_words": _agreement(deviations, lambda each: each.same_words, "files read the same", 100),
            "faces_overlap": _least(deviations, lambda each: each.face_overlap, "face boxes", 0.8),
            "words_overlap": _least(
                [each for each in deviations if each.same_words],
                lambda each: each.word_overlap,
                "word boxes",
                0.8,
            ),
            "brightness_off": _most(deviations, lambda each: each.brightness, "brightness, of 255", 1),
            "palette_delta_e": _most(deviations, lambda each: each.delta_e, "mean ΔE2000 of the palette", 3),
            "hash_bits": _most(deviations, lambda each: each.hash_bits, "bits of pHash or dHash", 4),
        },
        (_table(deviations),),
    )


def _scenes(bench: Workbench) -> list[Image.Image]:
    scenes = []
    for name in ("astronaut.png", "china.jpg"):
        photo = bench.samples.open(name)
        mask = fonts()[0][1]("Platform seven", 30)
        photo.paste((250, 245, 225), (10, 330, 30 + mask.width, 350 + mask.height))
        photo.paste((60, 0, 0), (20, 340), mask)
        scenes.append(photo)
    return scenes


def _compare(
    bench: Workbench, scene: Image.Image, kind: str, options: Mapping[str, object]
) -> Sequence[Deviation]:
    views = {}
    for orientation in TURNS:
        views[orientation] = bench.view(store(scene, orientation, kind.partition(" ")[0], **options))
    return [
        _deviate(kind, orientation, views[1], view) for orientation, view in views.items() if orientation > 1
    ]


def _deviate(kind: str, orientation: int, upright: View, turned: View) -> Deviation:
    pairs = match_palettes(_labs(upright.colours), _labs(turned.colours))
    return Deviation(
        kind,
        orientation,
        upright == turned,
        _least_overlap(upright.face_boxes, turned.face_boxes),
        _least_overlap(upright.word_boxes, turned.word_boxes),
        upright.text.text == turned.text.text,
        (upright.scene.type, upright.luminance.blur_level)
        == (turned.scene.type, turned.luminance.blur_level),
        abs(upright.luminance.brightness - turned.luminance.brightness),
        sum(difference * weight for difference, weight in pairs),
        max(
            compare_hashes(upright.hashes.phash, turned.hashes.phash),
            compare_hashes(upright.hashes.dhash, turned.hashes.dhash),
        ),
    )


def _labs(palette: Palette) -> list[tuple[tuple[float, float, float], float]]:
    return [(to_lab(colour.red, colour.green, colour.blue), colour.share) for colour in palette.colours]


def _least_overlap(boxes: Sequence[Box], others: Sequence[Box]) -> float:
    """The worst pair, 0 where one has more boxes than the other."""
    if len(boxes) != len(others):
        return 0.0
    return min((max(overlap(box, other) for other in others) for box in boxes), default=1.0)


def _agreement(
    deviations: Sequence[Deviation], agrees: Callable[[Deviation], bool], what: str, goal: float
) -> Figure:
    return percentage(share(sum(map(agrees, deviations)), len(deviations)), what, goal)


def _least(
    deviations: Sequence[Deviation], value: Callable[[Deviation], float], what: str, goal: float
) -> Figure:
    least = min(map(value, deviations), default=0.0)
    return Figure(least, "", "higher", f"least overlap of {what}", goal)


def _most(
    deviations: Sequence[Deviation], value: Callable[[Deviation], float], what: str, goal: float
) -> Figure:
    return Figure(max(map(value, deviations)), "", "lower", f"largest difference of {what}", goal)


def _table(deviations: Sequence[Deviation]) -> Table:
    rows = []
    for kind in FORMATS:
        chosen = [each for each in deviations if each.kind == kind]
        rows.append(
            [
                kind,
                str(len(chosen)),
                str(sum(each.identical for each in chosen)),
                f"{min(each.face_overlap for each in chosen):.2f}",
                f"{min(each.word_overlap for each in chosen):.2f}",
                str(sum(each.same_words for each in chosen)),
                f"{statistics.fmean(each.delta_e for each in chosen):.2f}",
                str(max(each.hash_bits for each in chosen)),
            ]
        )
    header = (
        "format",
        "files",
        "identical",
        "faces overlap",
        "words overlap",
        "same words",
        "mean ΔE",
        "hash bits",
    )
    return Table("By format", header, rows)
