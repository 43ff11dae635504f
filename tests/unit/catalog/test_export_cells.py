"""Cells that a spreadsheet would evaluate."""

from __future__ import annotations

import math

import pytest

from services.catalog.export.cells import guard, guarded


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://evil.example","click")',
        "+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1+1)",
        "\t=1+1",
        "\r=1+1",
        "=",
        "+",
        "-5\n=1",
        "+49 30 1234; DROP",
        "+\u0661",
    ],
)
def test_text_that_would_be_evaluated_is_guarded(text: str) -> None:
    assert guard(text) == f"'{text}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "boat",
        "a=b",
        " =1",
        "-5",
        "-5.25",
        "+3,5",
        "-1e-7",
        "+1.234.567",
        "+49 (30) 123-456",
        "+1-800-555",
    ],
)
def test_other_text_numbers_and_phone_numbers_stay(text: str) -> None:
    assert guard(text) == text


def test_only_text_from_outside_is_guarded_and_no_number_is_infinite() -> None:
    assert guarded("text", "=1") == "'=1"
    assert guarded("json", "=1") == "=1"
    assert guarded("int", -5) == -5
    assert [guarded("float", value) for value in (math.nan, math.inf, -1.5)] == [None, None, -1.5]
