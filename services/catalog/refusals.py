"""Refusals that several requests share."""

from __future__ import annotations

from services.runtime.errors import InvalidArgumentError, Reason, UnimplementedError


def invalid_field(field: str, rule: str) -> InvalidArgumentError:
    """The answer to a field outside its documented range; ``rule`` is a sentence."""
    return InvalidArgumentError(Reason.INVALID_FIELD, f"{field}: {rule}", field=field)


def not_served(field: str) -> UnimplementedError:
    """The answer to a field whose turn comes in a later version; ignoring it would give wrong answers."""
    return UnimplementedError(
        Reason.NOT_SERVED_YET,
        f"{field} is part of the contract but not served by this version; leave it empty. See CHANGELOG.md.",
        field=field,
    )
