"""Names of images."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.names import NameSource, image_name, parse_image_name
from services.runtime.errors import InvalidArgumentError, Reason

NOW_US = 1_700_000_000_123_456


def test_a_name_is_a_uuid_of_version_7_with_its_time() -> None:
    name = NameSource().next_uuid(NOW_US)
    assert (name.version, name.variant) == (7, uuid.RFC_4122)
    assert name.int >> 80 == NOW_US // 1_000
    assert parse_image_name(image_name(name)) == name


@settings(deadline=None)
@given(st.lists(st.integers(min_value=NOW_US - 5_000, max_value=NOW_US + 5_000), max_size=50))
def test_names_ascend_whatever_the_clock_does(times: list[int]) -> None:
    source = NameSource()
    names = [source.next_uuid(now_us) for now_us in times]
    assert names == sorted(set(names))
    assert all(name.version == 7 and name.variant == uuid.RFC_4122 for name in names)


def test_a_carry_goes_into_the_next_millisecond() -> None:
    source = NameSource()
    names = [source.next_uuid(NOW_US // 1_000 * 1_000 + 999) for _ in range(100)]
    assert names == sorted(set(names))
    assert names[-1].int >> 80 == NOW_US // 1_000 + 1
    assert names[-1].version == 7


@pytest.mark.parametrize("number", [1, 42, 2**63 - 1])
def test_a_number_is_a_name_too(number: int) -> None:
    assert parse_image_name(f"images/{number}") == number


@pytest.mark.parametrize(
    "name",
    [
        "",
        "images/",
        "images/0",
        "images/01",
        "images/-1",
        "images/1 ",
        "images/1\n",
        "images/\u0661",
        f"images/{2**63}",
        f"images/{10**40}",
        "/images/1",
        "images/1/analyses",
        "images/../1",
        "images/0190C0DE-0000-7000-8000-000000000000",
        "images/0190c0de00007000800000000000abcd",
        "images/{0190c0de-0000-7000-8000-000000000000}",
    ],
)
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        parse_image_name(name)
    assert refusal.value.reason == Reason.INVALID_NAME


def test_a_long_name_is_cut_in_the_answer() -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        parse_image_name("x" * 10_000)
    assert len(refusal.value.metadata["name"]) == 100
