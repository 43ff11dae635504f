"""Which groups hang below another: merges make trees, and unmerging cuts a branch off."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable

from services.catalog.people.model import PersonRow


def tree_below(top: uuid.UUID, rows: Iterable[PersonRow]) -> list[PersonRow]:
    """``top`` and everything that was merged into it, directly or not, out of the rows of its root."""
    parts: defaultdict[uuid.UUID | None, list[PersonRow]] = defaultdict(list)
    found: list[PersonRow] = []
    for row in rows:
        parts[row.parent].append(row)
        if row.uuid == top:
            found.append(row)
    for row in found:
        found.extend(parts[row.uuid])
    return found
