"""How different two colours look: CIEDE2000, as published by Sharma, Wu and Dalal (2005)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np

Lab = tuple[float, float, float]
# A colour and its share of the picture, 0..1.
SharedColour = tuple[Lab, float]


def to_lab(red: int, green: int, blue: int) -> Lab:
    """CIELAB (D65) of an sRGB colour with channels 0..255."""
    pixel = np.array([[[red, green, blue]]], np.float32) / 255
    lightness, a, b = (float(value) for value in cv2.cvtColor(pixel, cv2.COLOR_RGB2Lab)[0, 0])
    return lightness, a, b


def colour_difference(first: Lab, second: Lab) -> float:
    """Delta E 2000; 1 is just seen, 3 seen side by side, 10 at a glance."""
    (l1, a1, b1), (l2, a2, b2) = first, second
    stretch = 1.5 - 0.5 * _saturation((math.hypot(a1, b1) + math.hypot(a2, b2)) / 2)
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = math.degrees(math.atan2(b1, a1)) % 360, math.degrees(math.atan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue_step = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn) / 2)
    mean_l, mean_c, mean_h = (l1 + l2) / 2, (c1 + c2) / 2, _mean_hue(h1, h2, c1 * c2)
    weight_l = 1 + 0.015 * (mean_l - 50) ** 2 / math.sqrt(20 + (mean_l - 50) ** 2)
    weight_c = 1 + 0.045 * mean_c
    weight_h = 1 + 0.015 * mean_c * _hue_weight(mean_h)
    rotation = -math.sin(math.radians(60 * math.exp(-(((mean_h - 275) / 25) ** 2)))) * 2 * _saturation(mean_c)
    parts = ((l2 - l1) / weight_l, (c2 - c1) / weight_c, hue_step / weight_h)
    return math.sqrt(max(0.0, sum(part**2 for part in parts) + rotation * parts[1] * parts[2]))


def match_palettes(peer: Sequence[SharedColour], ours: Sequence[SharedColour]) -> list[tuple[float, float]]:
    """Pair each of the peer's colours with one of ours so that the sum of share x difference is least.

    Returns (difference, the peer's share) in the peer's order. Raises ValueError if ours are fewer.
    """
    if len(ours) < len(peer):
        raise ValueError(f"{len(ours)} colours cannot be paired with {len(peer)}.")
    differences = [[colour_difference(theirs, mine) for mine, _ in ours] for theirs, _ in peer]
    shares = [share for _, share in peer]

    def cost(order: tuple[int, ...]) -> float:
        return sum(share * row[i] for share, row, i in zip(shares, differences, order, strict=True))

    best = min(itertools.permutations(range(len(ours)), len(peer)), key=cost)
    return [(row[i], share) for row, i, share in zip(differences, best, shares, strict=True)]


def _saturation(chroma: float) -> float:
    return math.sqrt(chroma**7 / (chroma**7 + 25.0**7))


def _mean_hue(h1: float, h2: float, chroma_product: float) -> float:
    if not chroma_product:
        return h1 + h2
    mean = (h1 + h2) / 2
    if abs(h1 - h2) <= 180:
        return mean
    return mean + 180 if h1 + h2 < 360 else mean - 180


def _hue_weight(hue: float) -> float:
    def cosine(degrees: float) -> float:
        return math.cos(math.radians(degrees))

    return (
        1
        - 0.17 * cosine(hue - 30)
        + 0.24 * cosine(2 * hue)
        + 0.32 * cosine(3 * hue + 6)
        - 0.20 * cosine(4 * hue - 63)
    )
