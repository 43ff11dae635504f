"""Photos from the scikit-image and scikit-learn wheels, and one analyzer for all tests."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from services.analyzer.analysis import Analyzer
from services.analyzer.decode import DecodeLimits, Decoder
from services.analyzer.picture import Picture
from services.analyzer.plan import AnalyzerConfig
from services.analyzer.process import configure_threads

Encode = Callable[..., bytes]


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


@pytest.fixture(scope="session", autouse=True)
def one_thread_a_call() -> None:
    configure_threads()


@pytest.fixture(scope="session")
def photo() -> Callable[[str], bytes]:
    """The bytes of a sample photo by file name."""
    folders = (package_folder("skimage") / "data", package_folder("sklearn") / "datasets" / "images")

    def read(name: str) -> bytes:
        return next(path.read_bytes() for folder in folders if (path := folder / name).is_file())

    return read


@pytest.fixture(scope="session")
def encode() -> Encode:
    """Encode a Pillow image or an array: ``encode(image, "PNG", **options)``."""

    def run(image: Image.Image | npt.NDArray[np.uint8], kind: str = "PNG", **options: object) -> bytes:
        if not isinstance(image, Image.Image):
            image = Image.fromarray(image)
        out = io.BytesIO()
        image.save(out, kind, **options)
        return out.getvalue()

    return run


@pytest.fixture(scope="session")
def decoder() -> Decoder:
    return Decoder(DecodeLimits())


@pytest.fixture(scope="session")
def picture(decoder: Decoder, encode: Encode) -> Callable[[npt.NDArray[np.uint8]], Picture]:
    """A Picture of an RGB or grey array, by way of a PNG."""
    return lambda pixels: decoder.decode(encode(pixels))


@pytest.fixture(scope="session")
def analyzer() -> Iterator[Analyzer]:
    with contextlib.closing(Analyzer(AnalyzerConfig())) as one:
        yield one


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos with ground truth that lie beside the checkout on some machines."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no shared/data beside the checkout")
    return folder
