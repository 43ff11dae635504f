"""The accurate text engine, RapidOCR, beside the default one on the same pages and signs."""

from __future__ import annotations

import itertools
import statistics

from bench.figures import Figure
from bench.quality.character_errors import character_error_rate, embedded_error_rate
from bench.quality.samples import WITH_TEXT, WITHOUT_PEOPLE, encode
from bench.quality.section import Section, count
from bench.quality.text import draw_signs, labelled_pages
from bench.quality.text_scenes import render_pages
from bench.quality.workbench import Workbench
from services.analyzer.decode import DecodeLimits, Decoder
from services.analyzer.detectors.text import TextDetector

# It takes half a second to two a picture: a part of what the default engine is measured on.
SIGNS = 16
PAGES = 3
TEXTLESS = 6


def measure(bench: Workbench) -> Section:
    """Error rates of RapidOCR, where it is installed."""
    method = (
        f"The RapidOCR engine on the scanned pages, {PAGES} generated pages and the first {SIGNS} signs"
        " above; the goal is the default engine's error rate on the same. It is asked for by name and never"
        " the default: it takes many times as long."
    )
    detector, decoder = TextDetector.open(None, None, "eng", 60.0, "rapidocr"), Decoder(DecodeLimits())
    if detector.equipment.missing:
        return Section("Text, accurate engine", method, {}, remarks=[detector.equipment.missing])

    def read(data: bytes) -> str:
        return detector.detect(decoder.decode(data), None).text

    pages = [(page.data, page.truth) for page in labelled_pages(bench)]
    pages += [(encode(page.image), page.truth) for page in itertools.islice(render_pages(), PAGES)]
    signs = [
        (encode(sign.image, "JPEG", quality=85), sign.truth)
        for sign in itertools.islice(draw_signs(bench), SIGNS)
    ]
    textless = [name for name in WITHOUT_PEOPLE if name not in WITH_TEXT][-TEXTLESS:]
    made_up = [name for name in textless if read(bench.samples.free(name).read_bytes())]
    return Section(
        "Text, accurate engine",
        method,
        {
            "pages_cer": _compare(
                [character_error_rate(read(data), truth) for data, truth in pages],
                [character_error_rate(bench.text(data).text, truth) for data, truth in pages],
                "pages",
            ),
            "signs_cer": _compare(
                [embedded_error_rate(read(data), truth) for data, truth in signs],
                [embedded_error_rate(bench.text(data).text, truth) for data, truth in signs],
                "signs",
            ),
            "false_text": count(len(made_up), f"pictures with words of {TEXTLESS} without text"),
        },
        remarks=[f"Made up in {name}" for name in made_up],
    )


def _compare(accurate: list[float], default: list[float], what: str) -> Figure:
    return Figure(
        statistics.fmean(accurate),
        "",
        "lower",
        f"mean CER over {len(accurate)} {what}; the goal is the default engine's",
        statistics.fmean(default),
    )
