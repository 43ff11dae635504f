"""Refusals that several requests share."""

from __future__ import annotations

from services.runtime.errors import InvalidArgumentError, Reason


def invalid_field(field: str, rule: str) -> InvalidArgumentError:
    """The answer to a field outside its documented range; ``rule`` is a sentence."""
    return InvalidArgumentError(Reason.INVALID_FIELD, f"{field}: {rule}", field=field)
