"""The page as a person uses it: drop, watch, read, delete."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.contract.ui.stand_in import Json, StandIn, error_body

pytestmark = pytest.mark.browser
WIDTH, HEIGHT = 400, 200
BLUE = (30, 60, 120)
TIMES = "\N{MULTIPLICATION SIGN}"
FACE = {"x": 100, "y": 40, "width": 80, "height": 60}


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), BLUE).save(out, "PNG")
    return out.getvalue()


def big_file(folder: Path, name: str) -> Path:
    """A photo that takes a while: a picture, and 12 MB behind its end."""
    path = folder / name
    path.write_bytes(png() + os.urandom(12_000_000))
    return path


def payload(name: str, content: bytes | None = None) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": content or png()}


def outcome(**more: Any) -> Json:
    """A processed image as the server's JSON has it, zeros and empty fields included."""
    colors = [("#1e3c78", 0.7, "darkslateblue"), ("#ffcc00", 0.3, "gold")]
    return {
        "state": "PROCESSED",
        "width": WIDTH,
        "height": HEIGHT,
        "insights": {
            "width": WIDTH,
            "height": HEIGHT,
            "detectors": [
                {
                    "detector": "DETECTOR_COLORS",
                    "status": "DETECTOR_STATUS_OK",
                    "message": "",
                    "fallback": False,
                },
                {
                    "detector": "DETECTOR_TEXT",
                    "status": "DETECTOR_STATUS_UNAVAILABLE",
                    "message": "Tesseract is not installed.",
                },
                {
                    "detector": "DETECTOR_FACES",
                    "status": "DETECTOR_STATUS_OK",
                    "engine": "haar-frontalface-alt2",
                    "fallback": True,
                },
            ],
            "dominant_colors": [
                {"color": {"hex": color}, "share": share, "css_name": name} for color, share, name in colors
            ],
            "luminance": {
                "brightness": 134,
                "contrast": 41.5,
                "sharpness": 88.2,
                "quality_score": 69.52,
                "blur_level": "BLUR_LEVEL_LOW",
            },
            "scene": {"type": "SCENE_TYPE_OUTDOOR", "confidence": 0.83},
            "faces": {"faces": [{"box": FACE, "confidence": 0.97}]},
            "text": {"text": "OPEN\n<b>daily</b>", "word_count": 2},
            "barcodes": [{"format": "QRCode", "text": "<i>javascript:alert(1)</i>"}],
        },
        "caption": {
            "text": "A blue wall <img src=x onerror=alert(1)>",
            "tags": ["blue", "wall"],
            "language": "en",
            "provider": "local",
            "degraded": True,
            "degraded_reason": "No model is configured.",
        },
    } | more


def drop(page: Page, *files: FilePayload) -> None:
    """A drop as the browser makes it."""
    items = [
        {"name": file["name"], "type": file["mimeType"], "data": base64.b64encode(file["buffer"]).decode()}
        for file in files
    ]
    transfer = page.evaluate_handle(
        """items => {
            const transfer = new DataTransfer();
            for (const item of items) {
                const bytes = Uint8Array.from(atob(item.data), letter => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], item.name, {type: item.type}));
            }
            return transfer;
        }""",
        items,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def test_chosen_photos_are_uploaded_with_progress_and_shown_when_done(
    page: Page, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.outcomes = {"one.png": outcome(), "two.png": outcome()}
    stand_in.reading.clear()
    stand_in.finishing.clear()
    page.goto(stand_in.url)
    expect(page.get_by_text("No photos yet.")).to_be_visible()
    small = tmp_path / "two.png"
    small.write_bytes(png())
    page.set_input_files("#picker", [big_file(tmp_path, "one.png"), small])
    first = page.locator(".card").nth(0)
    expect(first.get_by_role("heading")).to_have_text("one.png")
    expect(page.locator(".card").nth(1).get_by_role("heading")).to_have_text("two.png")
    page.wait_for_function("document.querySelector('.card progress').value > 0")
    assert 0 < float(first.locator("progress").evaluate("bar => bar.value")) < 100
    expect(first.locator(".state-words")).to_contain_text("Uploading")
    assert first.locator(".picture img").get_attribute("src", timeout=1_000).startswith("blob:")  # type: ignore[union-attr]
    stand_in.reading.set()
    expect(first.get_by_text("Looking at it")).to_be_visible()
    assert first.get_attribute("aria-busy") == "true"
    stand_in.finishing.set()
    for card in (first, page.locator(".card").nth(1)):
        expect(card.locator(".caption")).to_have_text("A blue wall <img src=x onerror=alert(1)>")
        assert card.get_attribute("aria-busy") is None
    expect(page.locator("#count")).to_have_text("2 photos")
    assert len(set(stand_in.request_ids)) == 2


def test_everything_that_was_found_is_on_the_card(page: Page, stand_in: StandIn) -> None:
    stand_in.outcomes["one.png"] = outcome()
    page.goto(stand_in.url)
    drop(page, payload("one.png"))
    card = page.locator(".card")
    expect(card.locator(".meta")).to_have_text(f"400 {TIMES} 200 · PNG · {len(png())} B")
    expect(card.locator(".tags li")).to_have_text(["blue", "wall"])
    expect(card.locator(".palette li")).to_have_text(["#1e3c7870%", "#ffcc0030%"])
    strip = card.locator(".strip span")
    assert strip.nth(0).evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(30, 60, 120)"
    widths = [box["width"] for box in (strip.nth(0).bounding_box(), strip.nth(1).bounding_box()) if box]
    assert widths[0] / sum(widths) == pytest.approx(0.7, abs=0.01)
    expect(card.locator(".measures dt")).to_have_text(["Brightness", "Contrast", "Sharpness", "Quality"])
    expect(card.locator(".measures dd")).to_have_text(["134", "42", "88", "70"])
    fills = card.locator(".bar").evaluate_all(
        "bars => bars.map(bar => parseFloat(getComputedStyle(bar, '::before').width) / bar.clientWidth)"
    )
    assert fills == pytest.approx([134 / 255, 0.415, 0.882, 0.695], abs=0.01)
    expect(card.locator(".facts .fact")).to_have_text(["Outdoor 83%", "Sharp", "1 face"])
    expect(card.locator(".codes li")).to_have_text("QRCode <i>javascript:alert(1)</i>")
    expect(card.locator(".codes a, .codes i")).to_have_count(0)
    card.get_by_text("2 words of text").click()
    expect(card.locator("pre")).to_have_text("OPEN\n<b>daily</b>")
    expect(card.locator(".badge")).to_have_text("composed from measurements")
    expect(card.locator(".said")).to_contain_text("No model is configured.")
    expect(card.locator(".notes li")).to_have_text(
        [
            "text not available: Tesseract is not installed.",
            "faces found by a simpler engine (haar-frontalface-alt2)",
        ]
    )
    name = next(iter(stand_in.images)).removeprefix("images/")
    links = {link.inner_text(): link.get_attribute("href") for link in card.locator(".foot a").all()}
    assert links == {
        "Original": f"/v1/images/{name}:download",
        "Annotated": f"/v1/images/{name}:download?rendition=RENDITION_KIND_ANNOTATED",
        "JSON": f"/v1/images/{name}",
    }


def pixel(shot: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    red, green, blue = shot.crop((x, y, x + 1, y + 1)).tobytes()
    return red, green, blue


def test_boxes_lie_exactly_over_the_faces_and_can_be_hidden(page: Page, stand_in: StandIn) -> None:
    stand_in.outcomes["one.png"] = outcome()
    page.goto(stand_in.url)
    page.set_input_files("#picker", [payload("one.png")])
    picture = page.locator(".picture")
    expect(picture.locator(".face")).to_have_count(1)
    expect(picture.locator("img")).to_have_js_property("naturalWidth", WIDTH)
    # Both in one look: the page may still be moving.
    frame, box = picture.evaluate(
        "one => [one, one.querySelector('.face')].map(each => each.getBoundingClientRect().toJSON())"
    )
    # The picture is fitted into the frame as a whole: full width, centred in height.
    scale = frame["width"] / WIDTH
    top = (frame["height"] - HEIGHT * scale) / 2
    stroke = 2.5
    assert box["x"] - frame["x"] == pytest.approx(FACE["x"] * scale, abs=stroke)
    assert box["y"] - frame["y"] == pytest.approx(top + FACE["y"] * scale, abs=stroke)
    assert box["width"] == pytest.approx(FACE["width"] * scale, abs=2 * stroke)
    assert box["height"] == pytest.approx(FACE["height"] * scale, abs=2 * stroke)
    shot = Image.open(io.BytesIO(picture.screenshot())).convert("RGB")
    left, middle = round(FACE["x"] * scale), round(top + (FACE["y"] + FACE["height"] / 2) * scale)
    edge = [pixel(shot, x, middle) for x in range(left - 3, left + 4)]
    assert any(green > 200 > max(red, blue) for red, green, blue in edge)
    assert pixel(shot, left + 20, middle) == BLUE
    assert pixel(shot, left - 20, middle) == BLUE
    page.get_by_role("button", name="1 face").click()
    expect(picture.locator(".face")).to_have_count(0)
    page.get_by_role("button", name="1 face").click()
    expect(picture.locator(".face")).to_have_count(1)
    picture.click()
    large = page.locator(".viewer-frame")
    expect(large.locator("img")).to_have_js_property("naturalWidth", WIDTH)
    expect(large.locator(".face")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(picture).to_be_focused()


def test_a_refused_file_says_why_and_can_be_tried_again(
    page: Page, stand_in: StandIn, expected_complaints: list[str]
) -> None:
    expected_complaints.append("415")
    unsupported = error_body(3, "IMAGE_FORMAT_UNSUPPORTED", "Send JPEG, PNG or WebP instead.")
    stand_in.refusals["notes.png"] = (415, unsupported)
    stand_in.outcomes = {"good.png": outcome(), "notes.png": outcome()}
    page.goto(stand_in.url)
    page.set_input_files("#picker", [payload("notes.png", b"no picture"), payload("good.png")])
    bad, good = page.locator(".card").nth(0), page.locator(".card").nth(1)
    expect(bad.locator(".problem strong")).to_have_text("Not a supported picture")
    expect(bad.locator(".problem p")).to_have_text("Send JPEG, PNG or WebP instead.")
    expect(page.locator("#live")).to_contain_text("notes.png: Send JPEG, PNG or WebP instead.")
    expect(good.locator(".caption")).to_be_visible()
    stand_in.refusals.clear()
    bad.get_by_role("button", name="Try again").click()
    expect(bad.locator(".caption")).to_be_visible()
    assert len(stand_in.request_ids) == 3
    assert len(set(stand_in.request_ids)) == 2


def test_a_failed_analysis_says_why(page: Page, stand_in: StandIn) -> None:
    failure = error_body(13, "ANALYSIS_ABANDONED", "It took the analyzer down three times.")
    stand_in.outcomes["one.png"] = {"state": "FAILED", "error": failure}
    page.goto(stand_in.url)
    page.set_input_files("#picker", [payload("one.png")])
    card = page.locator(".card")
    expect(card.locator(".problem strong")).to_have_text("Given up after several tries")
    expect(card.locator(".problem p")).to_have_text("It took the analyzer down three times.")
    expect(card.get_by_role("link", name="Annotated")).to_have_count(0)


def test_without_events_the_page_asks_again_and_again(
    page: Page, stand_in: StandIn, expected_complaints: list[str]
) -> None:
    expected_complaints.extend(["503", "MIME type"])
    stand_in.events_work = False
    stand_in.outcomes["one.png"] = outcome()
    page.goto(stand_in.url)
    page.set_input_files("#picker", [payload("one.png")])
    expect(page.locator(".card .caption")).to_be_visible()
    assert any(":wait?timeout=20s" in request for request in stand_in.requests)


def test_the_latest_images_are_listed_page_by_page(page: Page, stand_in: StandIn) -> None:
    for number in range(30):
        image = outcome(name=f"images/{number}", display_name=f"photo {number}", size_bytes="2500000")
        stand_in.add(image, png())
    page.goto(stand_in.url)
    expect(page.locator(".card")).to_have_count(24)
    expect(page.locator("#count")).to_have_text("30 photos")
    expect(page.locator(".card h3").first).to_have_text("photo 29")
    expect(page.locator(".card .meta").first).to_have_text(f"400 {TIMES} 200 · 2.5 MB")
    expect(page.locator(".card img").first).to_have_js_property("naturalWidth", WIDTH)
    assert any("29:download?rendition=RENDITION_KIND_THUMBNAIL" in request for request in stand_in.requests)
    page.get_by_role("button", name="Load more").click()
    expect(page.locator(".card")).to_have_count(30)
    expect(page.get_by_role("button", name="Load more")).to_be_hidden()


def test_a_list_that_fails_says_so_and_comes_back(
    page: Page, stand_in: StandIn, expected_complaints: list[str]
) -> None:
    expected_complaints.append("503")
    stand_in.add(outcome(name="images/1", display_name="one"), png())
    stand_in.list_fails = True
    page.goto(stand_in.url)
    expect(page.get_by_role("alert")).to_contain_text("The store does not answer; wait.")
    stand_in.list_fails = False
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_deleting_asks_first(page: Page, stand_in: StandIn) -> None:
    stand_in.add(outcome(name="images/1", display_name="one"), png())
    page.goto(stand_in.url)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Keep")).to_be_focused()
    page.keyboard.press("Escape")
    assert "images/1" in stand_in.images
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("group").get_by_role("button", name="Delete").click()
    expect(page.locator(".card")).to_have_count(0)
    expect(page.locator("#empty")).to_be_visible()
    assert stand_in.images == {}


def test_two_photos_are_dropped_and_one_is_pasted(page: Page, stand_in: StandIn) -> None:
    stand_in.outcomes = {name: outcome() for name in ("one.png", "two.png", "three.png")}
    page.goto(stand_in.url)
    drop(page, payload("one.png"), payload("two.png"))
    expect(page.locator(".card .caption")).to_have_count(2)
    page.evaluate(
        """data => {
            const transfer = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], "three.png", {type: "image/png"}));
            const event = new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true});
            document.body.dispatchEvent(event);
        }""",
        base64.b64encode(png()).decode(),
    )
    expect(page.locator(".card .caption")).to_have_count(3)
    expect(page.locator(".card h3")).to_have_text(["three.png", "one.png", "two.png"])


def test_the_keyboard_reaches_everything(page: Page, stand_in: StandIn) -> None:
    stand_in.add(outcome(name="images/1", display_name="one"), png())
    page.goto(stand_in.url)
    expect(page.locator(".card .caption")).to_be_visible()
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "() => (({activeElement: on}) => on.getAttribute('aria-label') || on.textContent)(document)"
            )
        )
    assert reached == [
        "Skip to the photos",
        "Choose photos",
        "Show the large picture",
        "1 face",
        "2 words of text",
        "Original",
        "Annotated",
        "JSON",
        "Delete",
    ]


def test_a_cancelled_upload_leaves_nothing_behind(page: Page, stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.reading.clear()
    page.goto(stand_in.url)
    page.set_input_files("#picker", [big_file(tmp_path, "one.png")])
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".card")).to_have_count(0)
    stand_in.reading.set()
    assert stand_in.images == {}


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(page: Page, stand_in: StandIn, width: int) -> None:
    long_name = "a-very-long-name-without-any-break-" * 6 + ".png"
    stand_in.add(outcome(name="images/1", display_name=long_name), png())
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(stand_in.url)
    expect(page.locator(".card .caption")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
