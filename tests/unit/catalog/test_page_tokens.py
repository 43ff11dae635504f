"""Page tokens."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.catalog.requests.page_tokens import (
    Place,
    make_page_token,
    read_count_token,
    read_number_token,
    read_page_token,
    read_text_token,
)
from services.runtime.errors import InvalidArgumentError, Reason

INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@settings(deadline=None)
@given(st.binary(max_size=64), INT64, INT64)
def test_a_token_gives_the_place_back(query: bytes, time_us: int, number: int) -> None:
    assert read_page_token(query, make_page_token(query, (time_us, number))) == (time_us, number)


TEXT = st.text(st.characters(codec="utf-8"), max_size=50)


@settings(deadline=None)
@given(st.binary(max_size=64), INT64, TEXT)
def test_every_kind_of_place_comes_back(query: bytes, number: int, text: str) -> None:
    assert read_count_token(query, make_page_token(query, (number, text))) == (number, text)
    assert read_text_token(query, make_page_token(query, (text,))) == text
    assert read_number_token(query, make_page_token(query, (number,))) == number
    for read in (read_count_token, read_text_token, read_number_token):
        assert read(query, "") is None


@pytest.mark.parametrize("place", [(), (1,), ("a",), (1, "a"), ("a", 1), (1, 2), (1, 2, 3)])
def test_a_place_of_another_kind_is_refused(place: Place) -> None:
    token = make_page_token(b"query", place)
    readers = {(1, 2): read_page_token, (1, "a"): read_count_token, ("a",): read_text_token}
    for kind, read in {**readers, (1,): read_number_token}.items():
        if kind == place:
            assert read(b"query", token) in {place, place[0]}
            continue
        with pytest.raises(InvalidArgumentError) as refusal:
            read(b"query", token)
        assert refusal.value.reason == Reason.INVALID_PAGE_TOKEN


def test_the_first_page_has_no_token_and_the_last_gives_none() -> None:
    assert read_page_token(b"query", "") is None
    assert make_page_token(b"query", None) == ""


def test_a_token_fits_into_a_url() -> None:
    token = make_page_token(b"query", (2**62, 2**61))
    assert token.replace("-", "").replace("_", "").isalnum()
    assert len(token) < 64


def refused(query: bytes, token: str) -> str:
    with pytest.raises(InvalidArgumentError) as refusal:
        read_page_token(query, token)
    assert refusal.value.reason == Reason.INVALID_PAGE_TOKEN
    return refusal.value.message


def test_a_token_of_another_query_is_refused() -> None:
    assert "another query" in refused(b"other", make_page_token(b"query", (1, 2)))


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=36 * 8 - 1))
def test_any_flipped_bit_is_noticed(bit: int) -> None:
    token = make_page_token(b"query", (1_700_000_000_000_000, 42))
    raw = bytearray(base64.urlsafe_b64decode(token + "=="[: -len(token) % 4]))
    raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    assert "malformed" in refused(b"query", base64.urlsafe_b64encode(raw).decode().rstrip("="))


@settings(deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_any_text_is_refused(text: str) -> None:
    assert "malformed" in refused(b"query", text)


def test_a_cut_token_is_refused() -> None:
    token = make_page_token(b"query", (1, 2))
    for length in range(1, len(token)):
        assert "malformed" in refused(b"query", token[:length])
