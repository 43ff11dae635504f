"""The search for similar images among many that are equally near."""

from __future__ import annotations

import numpy as np
import pytest

from services.catalog.looks.look_distances import Looks
from services.catalog.looks.similar import MOST_SIMILAR, Measure, SimilarQuery, _search
from tests.unit.catalog.looks import look

COUNT = 10_050
ITSELF = 77


def many() -> Looks:
    return Looks(
        np.arange(1, COUNT + 1),
        np.arange(1, COUNT + 1),
        np.zeros(COUNT, np.uint64),
        np.zeros(COUNT, np.uint64),
        np.repeat(np.frombuffer(look().signature, np.uint8)[:, np.newaxis], COUNT, axis=1),
    )


@pytest.mark.parametrize("measure", ["look", "color"])
def test_at_most_ten_thousand_without_the_image_itself(measure: Measure) -> None:
    expected = [number for number in range(1, COUNT + 1) if number != ITSELF][:MOST_SIMILAR]
    first = _search(many(), look(), SimilarQuery(ITSELF, measure, 8, 50, None, b""), ITSELF)
    assert first.numbers.tolist() == expected
    later = _search(many(), look(), SimilarQuery(ITSELF, measure, 8, 50, (0, 9_990), b""), ITSELF)
    assert later.numbers.tolist() == [number for number in expected if number > 9_990]
