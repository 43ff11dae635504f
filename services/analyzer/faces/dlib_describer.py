"""dlib's ResNet as it runs in a child process: one crop of a face in, 128 numbers out.

It holds the GIL for about a tenth of a second a face, so it never runs in the service's own process. A child
imports this module and dlib, nothing else of the analyzer.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy.typing as npt

# The frame in which a crop shows its face. The unit square is that of dlib's mean face (its brows, jaw and
# temples touch it), in the middle of the crop with half a unit around it.
UNIT_PX = 128
MARGIN_UNITS = 0.5
CROP_EDGE_PX = 256
# Left, top, right, bottom of the face in a crop as dlib's own detector would frame it, which is how the
# landmark model learnt faces: 1.25 units around (0.49, 0.44), the median of 23 faces.
FACE_FRAME_PX = (47, 40, 207, 200)

CHIP_EDGE_PX = 150
CHIP_PADDING = 0.25


def load_models(landmarks_path: str, network_path: str) -> None:
    """Load both models into this process (0.2 s), before the clock of its first job runs."""
    _open_models(landmarks_path, network_path)


def describe_crop(landmarks_path: str, network_path: str, crop: npt.NDArray[Any]) -> list[float]:
    """The descriptor of the face in ``crop``, (CROP_EDGE_PX, CROP_EDGE_PX, 3) in RGB order.

    The five-point landmark model finds the corners of the eyes and the base of the nose, the chip is cut
    along them as it was for the network's training, and the network maps it to 128 numbers.
    """
    import dlib  # noqa: PLC0415 - only where it is installed, and only in a child

    find_landmarks, network = _open_models(landmarks_path, network_path)
    landmarks = find_landmarks(crop, dlib.rectangle(*FACE_FRAME_PX))
    chip = dlib.get_face_chip(crop, landmarks, CHIP_EDGE_PX, CHIP_PADDING)
    return [float(number) for number in network.compute_face_descriptor(chip)]


@functools.cache
def _open_models(landmarks_path: str, network_path: str) -> tuple[Any, Any]:
    import dlib  # noqa: PLC0415

    return dlib.shape_predictor(landmarks_path), dlib.face_recognition_model_v1(network_path)
