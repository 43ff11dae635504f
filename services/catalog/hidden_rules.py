"""What may be asked of soft-deleted images, of which less is kept; the same on both stores."""

from __future__ import annotations

from services.catalog.conditions import Condition, SameBytes, leaves
from services.catalog.model import OrderKey
from services.catalog.refusals import invalid_field

_KNOWN_OF_HIDDEN = {"create_time_us", "size_bytes", "width", "height", "format", "state"}


def check_hidden(condition: Condition, key: OrderKey) -> None:
    """Raises ``InvalidArgumentError(INVALID_FIELD)`` for what cannot be asked of hidden images."""
    for leaf in leaves(condition):
        if not isinstance(leaf, SameBytes) and getattr(leaf, "field", "") not in _KNOWN_OF_HIDDEN:
            raise invalid_field(
                "show_deleted", "With it filters know time, size, dimensions, format, state and bytes."
            )
    if key != "create_time_us":
        raise invalid_field("order_by", "Must be by time with show_deleted.")
