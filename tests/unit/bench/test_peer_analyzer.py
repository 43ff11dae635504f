"""The peer's method finds what there is to find, so that its time is the time of real work."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from bench import photos
from bench.peer_analyzer import analyze


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")  # two colours, and five are sought
def test_measures_of_a_picture_in_two_colours() -> None:
    picture = Image.new("RGB", (64, 48), (0, 0, 255))
    picture.paste((0, 255, 0), (0, 0, 64, 12))
    report = analyze(_png(picture))
    assert set(report.colours) == {"#0000ff", "#00ff00"}
    assert (report.blue_share, report.green_share) == (0.75, 0.25)
    assert (report.mean_saturation, report.mean_value) == (255, 255)
    # Luma 29 and 150; the Laplacian is ± 121 in the two rows at the edge and 0 elsewhere.
    assert report.brightness == (3 * 29 + 150) // 4
    assert report.contrast == pytest.approx(121 * (0.75 * 0.25) ** 0.5)
    assert report.laplacian_variance == pytest.approx(121**2 * 2 / 48)
    assert (report.faces, report.text) == ((), "")


def test_face_and_text() -> None:
    report = analyze(photos.encode(photos.add_sign(photos.source_photo("astronaut"))))
    assert any(x < 224 < x + width and y < 120 < y + height for x, y, width, height in report.faces)
    assert "Open daily" in report.text


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
