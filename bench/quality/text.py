"""Text: read no worse than by plain Tesseract on pages, not lost on signs, not made up in photos."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.figures import Figure
from bench.quality.character_errors import character_error_rate, embedded_error_rate
from bench.quality.peer import PlainTesseract
from bench.quality.samples import WITH_TEXT, WITHOUT_PEOPLE, encode, to_rgb
from bench.quality.section import Illustration, Section, Table, count, percentage, share
from bench.quality.sheets import draw_boxes, lay_out
from bench.quality.text_scenes import TEXT_HEIGHTS_PX, TextScene, render_pages, render_signs
from bench.quality.workbench import Workbench
from services.analyzer.picture import Box

SIGNS = 96
SEED = 11
BACKGROUNDS = (
    "china.jpg", "flower.jpg", "coffee.png", "chelsea.png", "rocket.jpg", "brick.png", "grass.png",
    "gravel.png", "ihc.png", "moon.png", "motorcycle_left.png", "hubble_deep_field.jpg",
)  # fmt: skip
# A sign is read with at most one character in five wrong, lost with more than half of them.
READ = 0.2
LOST = 0.5
PAGE_PHOTO_TRUTH = (
    "Region-based segmentation Let us first determine markers of the coins and the background. These"
    " markers are pixels that we can label unambiguously as either object or background. Here, the"
    " markers are found at the two extreme parts of the histogram of grey values:"
    " >>> markers = np.zeros_like(coins)"
)


@dataclass(frozen=True, slots=True)
class Page:
    """A file with a page, and its text."""

    name: str
    data: bytes
    truth: str


@dataclass(frozen=True, slots=True)
class SignReading:
    """One sign and its error rates: ours, plain Tesseract's on the whole picture and on the best of both."""

    scene: TextScene
    text: str
    words: Sequence[Box]
    ours: float
    plain: float
    best_plain: float

    @property
    def readable(self) -> bool:
        """Whether plain Tesseract reads it, on the whole picture or cut out."""
        return self.best_plain <= READ

    @property
    def lost(self) -> bool:
        """Readable, and we return less than half of it."""
        return self.readable and self.ours > LOST


@dataclass(frozen=True, slots=True)
class PageReading:
    """Error rates on one page."""

    name: str
    shared: bool
    ours: float
    plain: float


def measure(bench: Workbench) -> Section:
    """All text figures."""
    plain = PlainTesseract()
    pages = list(_read_pages(bench, plain))
    signs = [_read_sign(bench, plain, scene) for scene in draw_signs(bench)]
    made_up = _false_text(bench)
    lost = [sign for sign in signs if sign.lost]
    return Section(
        "Text",
        "Plain Tesseract is `pytesseract.image_to_string` with the same language data (eng) on the picture as"
        " it is. The error rate (CER) is the edit distance over the length of the truth; on signs, over the"
        " passage read that comes closest. A sign is readable if plain Tesseract reads it, with at most"
        f" {READ:.0%} of its characters wrong, on the whole picture or on the tight crop; it is lost if"
        f" we return it with more than {LOST:.0%} wrong. {SIGNS} signs are drawn into {len(BACKGROUNDS)}"
        f" photos: {TEXT_HEIGHTS_PX[0]} to {TEXT_HEIGHTS_PX[-1]} px, four fonts, dark on light and light on"
        " dark, on a plate or bare, tilted by up to 8 degrees, JPEG quality 85.",
        {
            **_page_figures(pages),
            **_sign_figures(signs),
            "false_text": count(
                len(made_up), f"pictures with words of {len(_textless())} without text", 0
            ),
        },
        (
            Table("Pages", ("page", "CER", "plain Tesseract"), _list_pages(pages)),
            Table(
                "Signs by height of the font",
                ("height, px", "signs", "plain, whole", "plain, whole or crop", "ours", "lost"),
                [_list_height(signs, height_px) for height_px in TEXT_HEIGHTS_PX],
            ),
        ),
        (_show(signs),),
        [
            *(f"Lost: “{_one_line(sign.scene.truth)}”, {sign.scene.height_px} px {sign.scene.kind};"
              f" read: “{_one_line(sign.text)}”" for sign in lost),
            *(f"Made up in {name}: “{_one_line(text)}”" for name, text in made_up.items()),
        ],
    )  # fmt: skip


def labelled_pages(bench: Workbench) -> list[Page]:
    """The scanned pages beside the checkout, where they are."""
    return [
        Page(path.stem, path.read_bytes(), path.with_suffix(".txt").read_text())
        for path in bench.samples.shared_files("ocr", ".tif")
    ]


def draw_signs(bench: Workbench) -> Iterator[TextScene]:
    """The signs of the report."""
    return render_signs([bench.samples.open(name) for name in BACKGROUNDS], SIGNS, SEED)


def _read_sign(bench: Workbench, plain: PlainTesseract, scene: TextScene) -> SignReading:
    data = encode(scene.image, "JPEG", quality=85)
    found, shown = bench.text(data), to_rgb(data)
    ours = embedded_error_rate(found.text, scene.truth)
    whole = best = embedded_error_rate(plain.read(shown), scene.truth)
    if whole > READ:
        best = min(whole, embedded_error_rate(plain.read(shown.crop(scene.crop)), scene.truth))
    return SignReading(scene, found.text, [word.box for word in found.words], ours, whole, best)


def _read_pages(bench: Workbench, plain: PlainTesseract) -> Iterator[PageReading]:
    pages = [(page, True) for page in labelled_pages(bench)]
    photo = Page("page.png", bench.samples.free("page.png").read_bytes(), PAGE_PHOTO_TRUTH)
    drawn = [Page(page.kind, encode(page.image), page.truth) for page in render_pages()]
    pages += [(page, False) for page in (photo, *drawn)]
    for page, shared in pages:
        ours = character_error_rate(bench.text(page.data).text, page.truth)
        yield PageReading(
            page.name, shared, ours, character_error_rate(plain.read(to_rgb(page.data)), page.truth)
        )


def _page_figures(pages: Sequence[PageReading]) -> dict[str, Figure]:
    figures = {}
    for name, chosen in (
        ("labelled", [page for page in pages if page.shared]),
        ("generated", [page for page in pages if not page.shared]),
    ):
        if chosen:
            figures[f"{name}_pages_cer"] = Figure(
                statistics.fmean(page.ours for page in chosen),
                "",
                "lower",
                f"mean CER over {len(chosen)} pages; the goal is plain Tesseract's",
                statistics.fmean(page.plain for page in chosen),
            )
    lost = sum(page.ours > LOST for page in pages if page.plain <= READ)
    return {**figures, "pages_lost": count(lost, f"lost of {len(pages)} pages", 0)}


def _sign_figures(signs: Sequence[SignReading]) -> dict[str, Figure]:
    readable = [sign for sign in signs if sign.readable]
    lost = sum(sign.lost for sign in readable)
    read = sum(sign.ours <= READ for sign in readable)
    return {
        "signs_lost": count(lost, f"lost of {len(readable)} readable signs", 0),
        "signs_read": percentage(share(read, len(readable)), "readable signs that we read"),
        "signs_cer": Figure(
            statistics.fmean(sign.ours for sign in signs),
            "",
            "lower",
            f"mean CER over all {len(signs)} signs; the goal is plain Tesseract's on the whole picture",
            statistics.fmean(sign.plain for sign in signs),
        ),
    }


def _textless() -> list[str]:
    return [name for name in WITHOUT_PEOPLE if name not in WITH_TEXT]


def _false_text(bench: Workbench) -> dict[str, str]:
    read = {name: bench.text(bench.samples.free(name).read_bytes()).text for name in _textless()}
    return {name: text for name, text in read.items() if text}


def _list_pages(pages: Sequence[PageReading]) -> list[list[str]]:
    return [[page.name, f"{page.ours:.3f}", f"{page.plain:.3f}"] for page in pages]


def _list_height(signs: Sequence[SignReading], height_px: int) -> list[str]:
    chosen = [sign for sign in signs if sign.scene.height_px == height_px]
    numbers = (
        len(chosen),
        sum(sign.plain <= READ for sign in chosen),
        sum(sign.readable for sign in chosen),
        sum(sign.ours <= READ for sign in chosen),
        sum(sign.lost for sign in chosen),
    )
    return [str(height_px), *map(str, numbers)]


def _show(signs: Sequence[SignReading]) -> Illustration:
    shown = signs[:8]
    cells = [draw_boxes(sign.scene.image, sign.words) for sign in shown]
    captions = [_one_line(sign.text) or "(nothing)" for sign in shown]
    return Illustration("quality-text", "Generated signs, and what was read.", lay_out(cells, 4, captions))


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
