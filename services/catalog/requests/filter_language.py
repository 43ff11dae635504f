"""The filter language of AIP-160: text in, a condition out.

    expression: factor { [AND] factor }      AND may be left out
    factor:     term { OR term }             OR binds tighter than AND
    term:       [NOT | -] ( comparison | "(" expression ")" )
    comparison: FIELD ( = | != | < | <= | > | >= | : ) VALUE

A value is a run of characters, or text in single or double quotes in which a backslash makes the next quote
or backslash an ordinary character. ``services.catalog.requests.filter_fields`` says what FIELD and VALUE
may be.
"""

from __future__ import annotations

import re

from services.catalog.conditions import EVERYTHING, Condition, Not, all_of, any_of
from services.catalog.requests.filter_fields import Comparison, ComparisonError, to_condition
from services.runtime.errors import InvalidArgumentError, Reason

MAX_CHARS = 2_000
MAX_COMPARISONS = 100
MAX_DEPTH = 20
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OPERATOR = re.compile(r"<=|>=|!=|=|<|>|:")
_BARE = re.compile(r"[^\s()\"'<>=!,]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"' + r"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_KEYWORDS = ("AND", "OR", "NOT")
_KEYWORD = re.compile(r"(AND|OR|NOT)(?![A-Za-z0-9_.])")


def parse_filter(text: str) -> Condition:
    """The condition of a filter; an empty one is met by everything.

    Raises ``InvalidArgumentError(INVALID_FILTER)`` with the ``position`` of the fault: the number of its
    first character, counted from 1. Bounds: 2,000 characters, 100 comparisons, parentheses 20 deep.
    """
    if len(text) > MAX_CHARS:
        raise _refusal(MAX_CHARS, f"a filter has at most {MAX_CHARS:,} characters.")
    return _Parser(text).parse()


def _refusal(at: int, rule: str) -> InvalidArgumentError:
    position = at + 1
    return InvalidArgumentError(
        Reason.INVALID_FILTER, f"filter, character {position}: {rule}", position=position
    )


class _Parser:
    """Reads from left to right; every character once, apart from a look at the next keyword."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._comparisons = 0

    def parse(self) -> Condition:
        self._skip_space()
        if self._at == len(self._text):
            return EVERYTHING
        condition = self._expression(0)
        if self._at < len(self._text):
            raise _refusal(self._at, "this parenthesis closes nothing.")
        return condition

    def _expression(self, depth: int) -> Condition:
        parts = [self._factor(depth)]
        while self._at < len(self._text) and self._text[self._at] != ")":
            self._take_keyword("AND")
            parts.append(self._factor(depth))
        return all_of(parts)

    def _factor(self, depth: int) -> Condition:
        parts = [self._term(depth)]
        while self._take_keyword("OR"):
            parts.append(self._term(depth))
        return any_of(parts)

    def _term(self, depth: int) -> Condition:
        is_negated = self._take_keyword("NOT") or self._take("-")
        condition = self._group(depth) if self._text.startswith("(", self._at) else self._comparison()
        return Not(condition) if is_negated else condition

    def _group(self, depth: int) -> Condition:
        opened = self._at
        if depth == MAX_DEPTH:
            raise _refusal(opened, f"parentheses are at most {MAX_DEPTH} deep.")
        self._take("(")
        condition = self._expression(depth + 1)
        if not self._take(")"):
            raise _refusal(opened, "this parenthesis is not closed.")
        return condition

    def _comparison(self) -> Condition:
        field_at, field = self._at, self._take_name()
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise _refusal(field_at, f"a filter has at most {MAX_COMPARISONS} comparisons.")
        operator_at, operator = self._at, self._take_match(_OPERATOR)
        if not operator:
            raise _refusal(
                operator_at, f"after {field[:100]} one of = != < <= > >= : is expected. {_advice(field)}"
            )
        value_at, (value, is_quoted) = self._at, self._take_value()
        try:
            return to_condition(Comparison(field, operator, value, is_quoted))
        except ComparisonError as fault:
            places = {"field": field_at, "operator": operator_at, "value": value_at}
            raise _refusal(places[fault.part], fault.rule) from None

    def _take_name(self) -> str:
        at = self._at
        is_keyword = _KEYWORD.match(self._text, at)
        name = "" if is_keyword else self._take_match(_NAME)
        if not name:
            raise _refusal(at, "a comparison is expected, for example state = PROCESSED.")
        return name

    def _take_value(self) -> tuple[str, bool]:
        """The value, and whether it stood in quotes."""
        at = self._at
        quoted = _QUOTED.match(self._text, at)
        if quoted:
            self._at = quoted.end()
            self._skip_space()
            return self._unescaped(at, quoted[0][1:-1]), True
        value = self._take_match(_BARE)
        if not value or value in _KEYWORDS:
            raise _refusal(at, "a value is expected; one with spaces or signs in it is put in quotes.")
        return value, False

    def _unescaped(self, at: int, inner: str) -> str:
        for escape in _ESCAPE.finditer(inner):
            if escape[1] not in "\\\"'":
                raise _refusal(
                    at + 1 + escape.start(), r"a backslash stands before a quote or another backslash only."
                )
        return _ESCAPE.sub(r"\1", inner)

    def _take_keyword(self, keyword: str) -> bool:
        found = _KEYWORD.match(self._text, self._at)
        return found is not None and found[1] == keyword and self._take(keyword)

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        self._skip_space()
        return True

    def _take_match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        self._skip_space()
        return found[0]

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        if found:
            self._at = found.end()


def _advice(field: str) -> str:
    if field.upper() in _KEYWORDS:
        return "AND, OR and NOT are written in capitals."
    return "To look for words, use the search."
