"""Whose a face is by the likenesses in memory, and which box is which face."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from services.catalog.people.boxes import match_boxes
from services.catalog.people.index import LikenessIndex
from services.catalog.people.model import (
    NO_LIKENESS,
    FaceRow,
    Likeness,
    PersonRow,
    Placement,
    time_uuid,
)


def descriptor(*start: float) -> bytes:
    vector = np.zeros(128, np.float32)
    vector[: len(start)] = start
    return vector.tobytes()


def face(*start: float) -> FaceRow:
    name = uuid.uuid4()
    return FaceRow(name, 1, name, (0, 0, 1, 1), 1.0, descriptor(*start))


def person(sequence: int, *shots: tuple[float, ...]) -> PersonRow:
    likeness = NO_LIKENESS
    for shot in shots:
        likeness = likeness.plus(descriptor(*shot))
    name = uuid.uuid4()
    return PersonRow(name, name, 0, 0, likeness=likeness, sequence=sequence)


def placed(index: LikenessIndex, *faces: FaceRow) -> list[Placement]:
    return index.place(faces, uuid.uuid4)


def test_a_likeness_is_the_mean_squared_distance_to_all_faces() -> None:
    likeness = NO_LIKENESS
    shots = [(0.1, 0.2), (0.4, 0.0), (-0.3, 0.5)]
    for shot in shots:
        likeness = likeness.plus(descriptor(*shot))
    here = np.array([0.7, -0.1])
    expected = np.mean([np.sum((here - shot) ** 2) for shot in shots])
    assert likeness.squared_distance(descriptor(0.7, -0.1)) == pytest.approx(expected, abs=1e-6)
    less = likeness.minus(descriptor(*shots[1]))
    expected = np.mean([np.sum((here - shot) ** 2) for shot in (shots[0], shots[2])])
    assert less.squared_distance(descriptor(0.7, -0.1)) == pytest.approx(expected, abs=1e-6)
    assert less.minus(descriptor(*shots[0])).minus(descriptor(*shots[2])) == Likeness()


def test_the_nearest_person_below_the_threshold_gets_the_face() -> None:
    index = LikenessIndex(10)
    near, nearer = person(1, (0.0,)), person(2, (0.5,))
    index.put(near)
    index.put(nearer)
    (found,) = placed(index, face(0.3))
    assert (found.person, found.new) == (nearer.uuid, False)
    (unknown,) = placed(index, face(-0.51))
    assert unknown.new
    assert len(index) == 2


def test_faces_of_a_batch_see_those_before_them() -> None:
    index = LikenessIndex(10)
    first, second, third = placed(index, face(1.0), face(1.1), face(3.0))
    assert first.person == second.person != third.person
    assert [first.new, second.new, third.new] == [True] * 3
    assert len(index) == 0
    known = person(1, (0.0,))
    index.put(known)
    assert [found.person for found in placed(index, face(0.45), face(0.6))] == [known.uuid] * 2
    (alone,) = placed(index, face(0.6))
    assert alone.new


def test_one_odd_face_does_not_draw_others() -> None:
    index = LikenessIndex(10)
    index.put(person(1, *[(0.0,)] * 9, (1.0,)))
    (found,) = placed(index, face(1.0, 0.1))
    assert found.new


def test_people_that_are_gone_or_have_no_likeness_are_forgotten() -> None:
    index = LikenessIndex(10)
    people = [person(number, (float(number),)) for number in range(4)]
    for row in people:
        index.put(row)
    index.drop(people[0].uuid)
    index.put(PersonRow(people[3].uuid, people[3].uuid, 0, 0, sequence=9))
    answers = placed(index, *(face(float(number)) for number in range(4)))
    assert [answer.new for answer in answers] == [True, False, False, True]
    assert [answer.person for answer in answers[1:3]] == [people[1].uuid, people[2].uuid]


def test_beyond_its_bound_the_index_forgets_those_unchanged_for_longest() -> None:
    index = LikenessIndex(2)
    people = [person(number, (float(number),)) for number in (5, 6, 7)]
    for row in people:
        index.put(row)
    assert len(index) == 2
    assert [found.new for found in placed(index, face(5.0), face(6.0), face(7.0))] == [True, False, False]


def test_boxes_are_matched_by_overlap_the_best_first() -> None:
    known = [(0, 0, 100, 100), (40, 0, 100, 100), (500, 500, 10, 10)]
    found = [(30, 0, 100, 100), (5, 0, 100, 100), (504, 506, 10, 10)]
    assert match_boxes(known, found) == {0: 1, 1: 0}
    assert match_boxes(known, []) == match_boxes([], found) == {}
    # Exactly half of the union is enough.
    assert match_boxes([(0, 0, 10, 10)], [(0, 0, 10, 5)]) == {0: 0}


def test_names_ascend_with_time_and_place() -> None:
    names = [time_uuid(1_700_000_000_000_000 + us, place) for us in (0, 1, 1_000) for place in (0, 1, 4_095)]
    assert names == sorted(names)
    assert {(name.version, name.variant) for name in names} == {(7, uuid.RFC_4122)}
