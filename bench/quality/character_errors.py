"""Character error rates: edit distance (Levenshtein 1966) over the length of the truth."""

from __future__ import annotations


def character_error_rate(read: str, truth: str) -> float:
    """Insertions, deletions and exchanges that turn ``read`` into ``truth``, by character of the truth.

    White space counts as one blank. Above 1 where more was made up than there is; nothing read is 1.
    """
    return _distance(_normalize(truth), _normalize(read), anywhere=False)


def embedded_error_rate(read: str, truth: str) -> float:
    """The same for the passage of ``read`` that comes closest to ``truth``, 0..1 (Sellers 1980).

    What else was read, before and after, costs nothing: a sign may hang among others.
    """
    return _distance(_normalize(truth), _normalize(read), anywhere=True)


def _normalize(text: str) -> str:
    return " ".join(text.split())


def _distance(truth: str, read: str, *, anywhere: bool) -> float:
    if not truth:
        return float(bool(read) and not anywhere)
    row = [0 if anywhere else column for column in range(len(read) + 1)]
    for number, wanted in enumerate(truth, 1):
        above, row = row, [number]
        for column, char in enumerate(read, 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (char != wanted)))
    return (min(row) if anywhere else row[-1]) / len(truth)
