"""Faces: found on labelled photos and where one was pasted in, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence

from PIL import Image

from bench.figures import Figure, Figures
from bench.quality import peer
from bench.quality.box_matching import Tally, add_up, match_boxes
from bench.quality.face_scenes import FaceScene, paste_faces
from bench.quality.orientation import TURNS, store
from bench.quality.samples import WITHOUT_PEOPLE, encode, to_rgb
from bench.quality.section import Illustration, Section, Table, count, percentage, prefixed
from bench.quality.sheets import draw_boxes, lay_out
from bench.quality.workbench import Workbench
from services.analyzer.picture import Box

# Truth boxes are squares from brows to chin, our engine's reach from hairline to chin: a right face overlaps
# the square by 0.5 to 0.8, and 0.4 still refuses a box that is half as wide again.
LEAST_OVERLAP = 0.4
FACE_HEIGHTS_PX = (20, 28, 40, 56, 80, 112, 160, 224)
# A twentieth of the picture. Smaller ones are in the table but not part of the goal.
LEAST_FACE_PX = 40
CANVAS_EDGE_PX = 800
LARGE_FACE_HEIGHTS_PX = (80, 160, 320)
LARGE_EDGE_PX = 4000


def measure(bench: Workbench) -> Section:
    """All face figures."""
    scenes = list(paste_faces(bench.samples, FACE_HEIGHTS_PX, CANVAS_EDGE_PX))
    files = [encode(scene.image, "JPEG", quality=90) for scene in scenes]
    found = [_find(bench, data) for data in files]
    ours = [_score(boxes, scene) for boxes, scene in zip(found, scenes, strict=True)]
    theirs = [_score(peer.find_faces(to_rgb(data)), scene) for data, scene in zip(files, scenes, strict=True)]
    counted = [tally for tally, scene in zip(ours, scenes, strict=True) if scene.height_px >= LEAST_FACE_PX]
    loud = _false_faces(bench)
    return Section(
        "Faces",
        "Found boxes are paired with true ones greedily by overlap (intersection over union of at least"
        f" {LEAST_OVERLAP}: the true boxes of the labelled photos are squares from brows to chin, ours reach"
        " to the hairline, so that a right box overlaps by 0.5 to 0.8). Generated pictures: the astronaut's"
        f" head, scaled, mirrored every other time and blended into photos of {CANVAS_EDGE_PX} px without"
        " people. The peer's method is OpenCV's frontalface_default cascade at full size.",
        {
            **_on_labelled_photos(bench),
            "false_faces": count(
                sum(loud.values()), f"faces in {len(WITHOUT_PEOPLE)} wheel-shipped pictures without people", 0
            ),
            **prefixed("generated", _rate(counted, f"pasted faces of {LEAST_FACE_PX} px and more")),
            "generated_turned": _turned(bench, scenes),
            "generated_large_recall": _in_large_photos(bench),
        },
        (_list_heights(scenes, ours, theirs),),
        (_show(scenes, found),),
        [f"False faces in {name}: {number}" for name, number in loud.items()],
    )


def _find(bench: Workbench, data: bytes) -> list[Box]:
    return [face.box for face in bench.faces(data).faces]


def _score(found: Sequence[Box], scene: FaceScene) -> Tally:
    return match_boxes(found, [scene.face], LEAST_OVERLAP)


def _rate(tallies: Sequence[Tally], what: str) -> Figures:
    tally = add_up(tallies)
    return {
        "precision": percentage(100 * tally.precision, f"found boxes that are faces, {what}"),
        "recall": percentage(100 * tally.recall, f"faces that were found, {what}"),
        "f1": percentage(100 * tally.f1, f"harmonic mean of the two, {what}", 97),
    }


def _on_labelled_photos(bench: Workbench) -> Figures:
    tallies = []
    for path in bench.samples.shared_files("faces", ".jpg"):
        truth = json.loads((path.parent / "truth.json").read_text())[path.name]
        boxes = [Box(box["x"], box["y"], box["width"], box["height"]) for box in truth]
        tallies.append(match_boxes(_find(bench, path.read_bytes()), boxes, LEAST_OVERLAP))
    if not tallies:
        return {}
    faces = sum(tally.found + tally.missed for tally in tallies)
    return prefixed("labelled", _rate(tallies, f"{faces} faces in {len(tallies)} labelled photos"))


def _false_faces(bench: Workbench) -> dict[str, int]:
    found = {name: len(_find(bench, bench.samples.free(name).read_bytes())) for name in WITHOUT_PEOPLE}
    return {name: number for name, number in found.items() if number}


def _turned(bench: Workbench, scenes: Sequence[FaceScene]) -> Figure:
    """Two scenes in all eight orientations: stored turned, tagged, found in upright pixels."""
    middle = [scene for scene in scenes if scene.height_px == 80][:2]
    tally = add_up(
        _score(_find(bench, store(scene.image, orientation, "JPEG", quality=90)), scene)
        for scene in middle
        for orientation in TURNS
    )
    return percentage(100 * tally.f1, f"F1 over {len(middle)} of them in all eight EXIF orientations", 100)


def _in_large_photos(bench: Workbench) -> Figure:
    tallies = [
        _score(_find(bench, encode(scene.image, "JPEG", quality=90)), scene)
        for scene in paste_faces(bench.samples, LARGE_FACE_HEIGHTS_PX, LARGE_EDGE_PX)
    ]
    heights = ", ".join(map(str, LARGE_FACE_HEIGHTS_PX))
    method = f"faces found of those {heights} px high in {len(tallies)} photos of {LARGE_EDGE_PX} px"
    return percentage(100 * add_up(tallies).recall, method)


def _list_heights(scenes: Sequence[FaceScene], ours: Sequence[Tally], theirs: Sequence[Tally]) -> Table:
    rows = []
    for height_px in FACE_HEIGHTS_PX:
        here = [number for number, scene in enumerate(scenes) if scene.height_px == height_px]
        mine, peers = (add_up(tallies[number] for number in here) for tallies in (ours, theirs))
        rows.append(
            [str(height_px), str(len(here)), *map(str, (mine.found, mine.false, peers.found, peers.false))]
        )
    header = ("height, px", "pictures", "found", "false", "peer found", "peer false")
    return Table("Pasted faces by their height", header, rows)


def _show(scenes: Sequence[FaceScene], found: Sequence[Sequence[Box]]) -> Illustration:
    cells: list[Image.Image] = [
        draw_boxes(scenes[number].image, found[number]) for number in range(3, len(scenes), 6)
    ]
    return Illustration("quality-faces", "Generated pictures and the faces found on them.", lay_out(cells, 4))
