"""Palette: how far our five colours are from the peer's."""

from __future__ import annotations

import statistics

from bench.figures import Figure
from bench.quality import peer
from bench.quality.colour_difference import match_palettes, to_lab
from bench.quality.samples import TWINS, encode, fit
from bench.quality.section import Section, Table
from bench.quality.workbench import Workbench

# The peer clusters every pixel ten times over: this size keeps it to a second a photo.
MOST_PIXELS = 90_000
# A colour of less is a speck that either method may miss.
LEAST_SHARE = 0.05


def measure(bench: Workbench) -> Section:
    """The distance photo by photo."""
    rows, means, worst = [], [], []
    for name, image in bench.samples.photos():
        if name in TWINS:
            continue
        photo = fit(image, MOST_PIXELS)
        theirs = [(to_lab(*colour), share) for colour, share in peer.find_palette(photo)]
        found = bench.colours(encode(photo)).colours
        ours = [(to_lab(colour.red, colour.green, colour.blue), colour.share) for colour in found]
        pairs = match_palettes(theirs, ours)
        means.append(sum(difference * share for difference, share in pairs))
        worst.append(max(difference for difference, share in pairs if share >= LEAST_SHARE))
        rows.append([name, f"{means[-1]:.2f}", f"{worst[-1]:.2f}"])
    return Section(
        "Palette",
        "The peer's palette is scikit-learn's `KMeans(n_clusters=5, n_init=10, random_state=42)` on all"
        " pixels. Its colours are paired with ours so that the sum of its shares times the differences is"
        " least; the difference is CIEDE2000 (1 is just seen, 3 side by side), a photo's value the mean"
        f" weighted by the peer's shares. Photos are shrunk to {MOST_PIXELS / 1e6:.2f} MP for both.",
        {
            "mean_delta_e": Figure(statistics.fmean(means), "", "lower", f"mean over {len(means)} photos", 3),
            "worst_photo_delta_e": Figure(max(means), "", "lower", "the photo with the largest mean"),
            "worst_colour_delta_e": Figure(
                max(worst), "", "lower", f"the farthest colour with a share of {LEAST_SHARE:.0%} or more"
            ),
        },
        (Table("Palettes", ("photo", "mean ΔE", "worst colour"), rows),),
    )
