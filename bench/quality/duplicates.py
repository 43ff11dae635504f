"""Near duplicates: how many changed copies the hashes find, and how many strangers they take for copies."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Figure
from bench.quality.changes import SLIGHT, STRONG, UNEXPECTED
from bench.quality.samples import TWINS, encode, fit
from bench.quality.section import Section, Table, percentage, share
from bench.quality.workbench import Workbench
from services.analyzer.detectors.hashes import Hashes, compare_colours, compare_hashes

MOST_PIXELS = 400_000
# Two random hashes are within 10 bits once in 100 million pairs, within 14 once in 280 thousand: what is
# farther than 10 needs a second witness.
SURE_BITS = 10
LIKELY_BITS = 14
LIKELY_COLOURS = 8
THRESHOLDS_BITS = (0, 4, 6, 8, 10, 12, 14, 16)
COLOUR_THRESHOLDS = (1, 2, 3, 4, 6, 8, 12)
RATES = "Recall of slight changes / of strong ones / false rate, percent"
CHANGES = {**SLIGHT, **STRONG, **UNEXPECTED}
Match = Callable[[Hashes, Hashes], bool]
Distance = Callable[[Hashes, Hashes], float]


@dataclass(frozen=True, slots=True)
class Copy:
    """A changed copy: of which original, changed how."""

    original: int
    change: str
    hashes: Hashes


@dataclass(frozen=True, slots=True)
class Gallery:
    """Originals that are all different, and copies of them."""

    originals: Sequence[Hashes]
    copies: Sequence[Copy]

    def recall(self, changes: Container[str], match: Match) -> float:
        """Copies by these changes that match their original, percent."""
        chosen = [copy for copy in self.copies if copy.change in changes]
        return share(sum(match(copy.hashes, self.originals[copy.original]) for copy in chosen), len(chosen))

    def false_rate(self, match: Match) -> float:
        """Pairs of a copy and an original that is not its own which match, percent."""
        false = sum(
            match(copy.hashes, stranger)
            for copy in self.copies
            for number, stranger in enumerate(self.originals)
            if number != copy.original
        )
        return share(false, self.pairs)

    @property
    def pairs(self) -> int:
        """How many pairs of strangers there are."""
        return len(self.copies) * (len(self.originals) - 1)


def measure_phash(one: Hashes, other: Hashes) -> float:
    """Bits of pHash that differ, 0..64."""
    return compare_hashes(one.phash, other.phash)


def measure_dhash(one: Hashes, other: Hashes) -> float:
    """Bits of dHash that differ, 0..64."""
    return compare_hashes(one.dhash, other.dhash)


def measure_nearer(one: Hashes, other: Hashes) -> float:
    """The smaller of the two."""
    return min(measure_phash(one, other), measure_dhash(one, other))


def measure_colours(one: Hashes, other: Hashes) -> float:
    """How far the colour signatures are apart, 0..255."""
    return compare_colours(one.color_signature, other.color_signature)


def is_copy(one: Hashes, other: Hashes) -> bool:
    """The rule that the report recommends."""
    if measure_phash(one, other) <= SURE_BITS:
        return True
    return measure_nearer(one, other) <= LIKELY_BITS and measure_colours(one, other) <= LIKELY_COLOURS


def within(distance: Distance, most: float) -> Match:
    """Match what is at most that far."""
    return lambda one, other: distance(one, other) <= most


HASHES: Mapping[str, Distance] = {"pHash": measure_phash, "dHash": measure_dhash, "nearer": measure_nearer}


def measure(bench: Workbench) -> Section:
    """Recall and false rate of each hash and of the recommended rule."""
    gallery = _collect(bench)
    sure = within(measure_phash, SURE_BITS)
    return Section(
        "Near duplicates",
        f"{len(gallery.originals)} different pictures and {len(CHANGES)} changed copies of each. Every copy"
        " is compared with its original (recall) and with all other originals"
        f" ({gallery.pairs:,} pairs: false rate). **Recommended: a copy is what is within {SURE_BITS} bits of"
        f" pHash, or within {LIKELY_BITS} bits of either hash and {LIKELY_COLOURS} of the colour signature**"
        " (mean absolute difference). Two random hashes are within 10 bits once in 100 million pairs."
        " The limits were chosen on these very pictures, so expect a little less on others."
        " Mirrored copies and quarter turns are other pictures to such hashes: listed, not counted.",
        {
            "recall_slight": percentage(
                gallery.recall(SLIGHT, is_copy), "copies found: resized, recompressed, toned, marked", 98
            ),
            "recall_strong": percentage(
                gallery.recall(STRONG, is_copy), "copies found: cropped, rotated, framed, without colour", 70
            ),
            "false_rate": _lower(gallery.false_rate(is_copy), "strangers taken for copies", 0.01),
            "phash_recall_slight": percentage(gallery.recall(SLIGHT, sure), "by pHash alone"),
            "phash_recall_strong": percentage(gallery.recall(STRONG, sure), "by pHash alone"),
            "phash_false_rate": _lower(gallery.false_rate(sure), "by pHash alone", 0.01),
        },
        (_table_changes(gallery), _table_thresholds(gallery), _table_colours(gallery)),
    )


def _lower(value: float, method: str, goal: float) -> Figure:
    return Figure(value, "%", "lower", method, goal)


def _collect(bench: Workbench) -> Gallery:
    photos = [fit(image, MOST_PIXELS) for name, image in bench.samples.photos() if name not in TWINS]
    copies = [
        Copy(number, name, bench.hashes(change(photo)))
        for number, photo in enumerate(photos)
        for name, change in CHANGES.items()
    ]
    return Gallery([bench.hashes(encode(photo)) for photo in photos], copies)


def _table_changes(gallery: Gallery) -> Table:
    matches = [is_copy, within(measure_phash, SURE_BITS), within(measure_dhash, SURE_BITS)]
    rows = [
        [change, *(f"{gallery.recall({change}, match):.0f} %" for match in matches)] for change in CHANGES
    ]
    header = ("change", "recommended", f"pHash ≤ {SURE_BITS}", f"dHash ≤ {SURE_BITS}")
    return Table("Copies found by change", header, rows)


def _table_thresholds(gallery: Gallery) -> Table:
    rows = [
        [str(bits), *(_rates(gallery, within(distance, bits)) for distance in HASHES.values())]
        for bits in THRESHOLDS_BITS
    ]
    return Table(f"{RATES}, by bits that differ", ("at most", *HASHES), rows)


def _table_colours(gallery: Gallery) -> Table:
    rows = [[str(most), _rates(gallery, within(measure_colours, most))] for most in COLOUR_THRESHOLDS]
    return Table(f"{RATES}, by distance of the colour signatures alone", ("at most", "colours"), rows)


def _rates(gallery: Gallery, match: Match) -> str:
    slight, strong = gallery.recall(SLIGHT, match), gallery.recall(STRONG, match)
    return f"{slight:.1f} / {strong:.1f} / {gallery.false_rate(match):.3f}"
