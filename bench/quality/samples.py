"""The pictures to measure on: free photos from wheels, and real ones beside the checkout where they are."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

# Drawings and textures count: a detector must stay silent on them, too.
WITHOUT_PEOPLE = (
    "brick.png", "cell.png", "chelsea.png", "chessboard_GRAY.png", "chessboard_RGB.png", "clock_motion.png",
    "coffee.png", "color.png", "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "ihc.png",
    "logo.png", "microaneurysms.png", "moon.png", "motorcycle_left.png", "motorcycle_right.png", "page.png",
    "phantom.png", "retina.jpg", "rocket.jpg", "text.png", "china.jpg", "flower.jpg",
)  # fmt: skip
# A woman, a man from behind and from the side, and portraits on Roman coins.
WITH_PEOPLE = ("astronaut.png", "camera.png", "coins.png")
WITH_TEXT = ("page.png", "text.png")
# Two shots of one thing: never a pair of different pictures.
TWINS = ("chessboard_GRAY.png", "motorcycle_right.png")
_FOLDERS = (("skimage", "data"), ("sklearn", "datasets/images"))


@dataclass(frozen=True, slots=True)
class Samples:
    """Access to all pictures; ``shared`` is the folder of real ones, None where there is none."""

    shared: Path | None

    def free(self, name: str) -> Path:
        """A free photo by its file name."""
        for package, folder in _FOLDERS:
            spec = importlib.util.find_spec(package)
            for place in (spec.submodule_search_locations if spec else None) or ():
                if (path := Path(place) / folder / name).is_file():
                    return path
        raise FileNotFoundError(f"{name} is in neither scikit-image nor scikit-learn: run `make setup-dev`")

    def open(self, name: str) -> Image.Image:
        """A free photo, decoded to RGB."""
        return to_rgb(self.free(name))

    def shared_files(self, folder: str, *endings: str) -> list[Path]:
        """The files of one folder of the shared data, by name; none where it is not there."""
        root = self.shared / folder if self.shared else None
        if root is None or not root.is_dir():
            return []
        return sorted(path for path in root.iterdir() if path.suffix in endings)

    def photos(self) -> list[tuple[str, Image.Image]]:
        """All free photos, then the shared ones, decoded to RGB."""
        paths = [self.free(name) for name in (*WITH_PEOPLE, *WITHOUT_PEOPLE)]
        paths += self.shared_files("faces", ".jpg") + self.shared_files("photos", ".jpg")
        return [(path.name, to_rgb(path)) for path in paths]


def to_rgb(source: Path | bytes) -> Image.Image:
    """Decode as the peer does; transparent pixels keep the colour that is stored under them."""
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        return image.convert("RGB")


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def fit(image: Image.Image, most_pixels: int) -> Image.Image:
    """Shrink to at most ``most_pixels``; smaller ones stay as they are."""
    scale = (most_pixels / (image.width * image.height)) ** 0.5
    if scale >= 1:
        return image
    size = (int(image.width * scale), int(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)
