"""Cuts a face out upright, in the frame in which the describer takes it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from services.analyzer.faces.dlib_describer import CROP_EDGE_PX, MARGIN_UNITS, UNIT_PX
from services.analyzer.picture import Box, Picture, Pixels

# Eyes, tip of the nose and corners of the mouth of dlib's mean face (`mean_face_shape_x/y`, points 36..41,
# 42..47, 30, 48 and 54), in the unit square of that face.
MEAN_FACE = np.array(
    [(0.2255, 0.2160), (0.7547, 0.2160), (0.4901, 0.5156), (0.2541, 0.7802), (0.7261, 0.7802)]
)
# Where the cascade, which knows no landmarks, puts its boxes in that square: medians over 18 faces.
CASCADE_CENTRE = (0.49, 0.39)
CASCADE_WIDTH_UNITS = 1.4

Matrix = npt.NDArray[np.float64]


def cut_face(picture: Picture, box: Box, landmarks: tuple[tuple[int, int], ...]) -> Pixels:
    """The face as (CROP_EDGE_PX, CROP_EDGE_PX, 3), its eyes level; black where the picture ends.

    ``box`` and ``landmarks`` as in Face: without landmarks the crop follows the box and is not turned.
    """
    points = np.array(landmarks, np.float64).reshape(-1, 2)
    if len(points) == len(MEAN_FACE) and np.ptp(points, axis=0).min() > 0:
        matrix = _fit_similarity(points, _to_crop(MEAN_FACE))
    else:
        matrix = _follow_box(box)
    matrix[:, :2] *= picture.reduction
    return _warp(picture.rgb, matrix)


def _to_crop(points: Matrix) -> Matrix:
    return (points + MARGIN_UNITS) * UNIT_PX


def _fit_similarity(points: Matrix, targets: Matrix) -> Matrix:
    """The 2 x 3 turn, scale and shift that brings ``points`` nearest to ``targets``.

    Least squares over complex numbers: Umeyama 1991, without its reflections.
    """
    source, target = points @ [1, 1j], targets @ [1, 1j]
    middle, goal = source.mean(), target.mean()
    turn = np.vdot(source - middle, target - goal) / np.vdot(source - middle, source - middle)
    shift = goal - turn * middle
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _follow_box(box: Box) -> Matrix:
    scale = CASCADE_WIDTH_UNITS * UNIT_PX / box.width
    middle = np.array([box.x + box.width / 2, box.y + box.height / 2])
    shift = _to_crop(np.array(CASCADE_CENTRE)) - scale * middle
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _warp(rgb: Pixels, matrix: Matrix) -> Pixels:
    """Apply ``matrix``; what shrinks is averaged first, or its pixels would be picked at random."""
    corners = np.array([(0, 0), (CROP_EDGE_PX, 0), (0, CROP_EDGE_PX), (CROP_EDGE_PX, CROP_EDGE_PX)])
    seen = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    height, width = rgb.shape[:2]
    left, top = (max(0, math.floor(low) - 1) for low in seen.min(axis=0))
    right, bottom = (math.ceil(high) + 1 for high in seen.max(axis=0))
    part = rgb[top : min(bottom, height), left : min(right, width)]
    scale = min(1.0, float(np.hypot(matrix[0, 0], matrix[1, 0])))
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    stretch = np.array([part.shape[1] / size[0], part.shape[0] / size[1]])
    shrunk = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    # OpenCV counts from the middle of the first pixel.
    shift = matrix[:, :2] @ (stretch / 2 + (left, top)) + matrix[:, 2] - 0.5
    rest = np.column_stack([matrix[:, :2] * stretch, shift])
    return cv2.warpAffine(shrunk, rest, (CROP_EDGE_PX, CROP_EDGE_PX), flags=cv2.INTER_LINEAR)
