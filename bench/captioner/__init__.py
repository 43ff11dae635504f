"""The captioner between its callers and a provider: what it adds, how much it bears, how it keeps a rate."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from bench.captioner import peer
from bench.captioner.service import captioner, service
from bench.figures import Figure, Figures
from bench.photos import copies, encode, source_photo
from services.captioner.upload_picture import scale_for_upload
from tests.servers.providers.vendor_picture import digest_of
from tests.servers.providers.vendor_plan import KEY, Plan
from tests.servers.providers.vendor_process import VendorProcess
from tests.servers.providers.vendor_words import caption_of
from tests.servers.providers.virtual_burst import IMAGES, burst

SIZE_PX = (320, 240)
WARM_UP = 200
CAPTIONS = 1_000
IN_FLIGHT = 128
LATENCY_S = 1.0
# Half of them is more than three thousand.
LONG_RUN = 6_400
RATE = 60
# The first answers are there by then, with all that they tell.
LEARNT_S = 2.0


def run() -> Figures:
    """All figures; takes about two minutes."""
    folder = Path(tempfile.mkdtemp(prefix="bench-captioner-"))
    try:
        return {**_overhead(folder), **_in_flight(folder), **_burst()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _overhead(folder: Path) -> Figures:
    photo, text = _photo()
    pictures = copies(photo, CAPTIONS)
    with _vendor(folder / "at-once.txt", 0.0) as vendor:
        raw_us = peer.cpu_us(vendor.url, [_sent(photo)] * CAPTIONS, text)
        with captioner(folder, _settings(vendor)) as running:
            running.stream(copies(photo, WARM_UP, CAPTIONS), 16, text)
            bare_us = 1e6 * running.stream(pictures, 16, text).cpu_s / CAPTIONS
        with service("catalog", folder, {"CATALOG_COMPARE_LOOKS": False}) as (_, address):
            more = {"CAPTIONER_KEEP_RECORDS": True, "CATALOG_ADDRESS": address}
            with captioner(folder, _settings(vendor, **more)) as kept:
                kept.stream(copies(photo, WARM_UP, CAPTIONS), 16, text)
                records_us = 1e6 * kept.stream(pictures, 16, text).cpu_s / CAPTIONS
    of = (
        f"user and system CPU of the captioner's process a caption, {CAPTIONS:,} photos of 320 x 240 over "
        "one stream, 16 in work; a fake Mistral in another process answers at once"
    )
    return {
        "overhead_us": Figure(bare_us, "us", "lower", f"{of}; no records"),
        "raw_overhead_us": Figure(
            raw_us,
            "us",
            "lower",
            "CPU a caption of a process that calls chat.complete_async of the mistralai client and reads the "
            f"JSON, {peer.IN_FLIGHT} in flight, same fake, pictures ready to send",
        ),
        "overhead_ratio": Figure(
            bare_us / raw_us,
            "",
            "lower",
            "overhead_us / raw_overhead_us; ours decodes, scales, encodes and speaks gRPC besides",
            goal=1.0,
        ),
        "overhead_records_us": Figure(
            records_us, "us", "lower", f"{of}; with a catalog that keeps captions and counts money"
        ),
    }


def _in_flight(folder: Path) -> Figures:
    photo, text = _photo()
    with _vendor(folder / "a-second.txt", LATENCY_S) as vendor:
        more = {"CAPTIONER_CONCURRENCY": IN_FLIGHT, "CAPTIONER_IN_FLIGHT": 2 * IN_FLIGHT}
        with captioner(folder, _settings(vendor, **more)) as running:
            running.stream(copies(photo, 2 * IN_FLIGHT, LONG_RUN), IN_FLIGHT, text)
            told = running.stream(copies(photo, LONG_RUN), IN_FLIGHT, text, LATENCY_S)
        billed = vendor.billed().total()
    rate = told.rate(skip=2 * IN_FLIGHT)
    latencies_s = sorted(told.latencies_s[2 * IN_FLIGHT :])
    of = (
        f"{LONG_RUN:,} photos of 320 x 240 over one stream, {IN_FLIGHT} in flight, the first ones sent over "
        "1 s; a fake Mistral answers after 1 s"
    )
    return {
        "captions_per_s": Figure(rate, "/s", "higher", of, goal=105.0),
        "inflight_efficiency": Figure(
            rate * LATENCY_S / IN_FLIGHT, "", "higher", f"captions_per_s / {IN_FLIGHT}", goal=0.85
        ),
        "p99_s": Figure(
            latencies_s[int(0.99 * len(latencies_s))],
            "s",
            "lower",
            "99th percentile from request to answer at the client, same run",
            goal=1.4,
        ),
        "rss_growth_mb": Figure(
            told.growth_mb(),
            "MB",
            "lower",
            f"resident memory of the captioner after {LONG_RUN:,} captions less that after half of them",
            goal=8.0,
        ),
        "billed_twice": Figure(
            billed - LONG_RUN - 2 * IN_FLIGHT, "", "lower", "answers charged for beyond one a caption", goal=0
        ),
    }


def _burst() -> Figures:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    told = burst(Plan(requests=RATE, latency_s=LATENCY_S))
    blind = burst(Plan(requests=RATE, latency_s=LATENCY_S, tells_limits=False))
    of = f"{IMAGES} images at once, fake Mistral, {RATE} requests a minute, no Retry-After, virtual clock"
    late = sum(when > LEARNT_S for when in told.throttled_at)
    return {
        "burst_ratio": Figure(
            told.ratio,
            "",
            "lower",
            f"time until all are described / the shortest that the limit allows ({told.ideal_s:g} s); {of}",
            goal=1.3,
        ),
        "burst_failed": Figure(told.failed, "", "lower", "images without a caption, same run", goal=0),
        "burst_429_after_learning": Figure(
            late, "", "lower", "answers 429 after the first answers told the limit, same run", goal=0
        ),
        "burst_untold_ratio": Figure(
            blind.ratio, "", "lower", "as burst_ratio, where no header tells the limit", goal=1.3
        ),
        "burst_untold_429": Figure(
            len(blind.throttled_at), "", "lower", "answers 429 in all, where no header tells the limit"
        ),
    }


@contextmanager
def _vendor(journal: Path, latency_s: float) -> Iterator[VendorProcess]:
    vendor = VendorProcess("mistral", journal, latency_s)
    vendor.start()
    try:
        yield vendor
    finally:
        vendor.kill()


def _settings(vendor: VendorProcess, **more: object) -> dict[str, object]:
    return {
        "CAPTIONER_PROVIDERS": "mistral",
        "CAPTIONER_MISTRAL_URL": f"{vendor.url}/v1",
        "CAPTIONER_MISTRAL_API_KEY": KEY,
        "CAPTIONER_KEEP_RECORDS": False,
        **more,
    }


def _photo() -> tuple[bytes, str]:
    """A photo, and the sentence that the fake says of it; copies with other comments are sent alike."""
    photo = encode(source_photo("china").resize(SIZE_PX))
    return photo, caption_of(digest_of(_sent(photo)))


def _sent(photo: bytes) -> bytes:
    return scale_for_upload(photo, 1024, 10_000_000).jpeg
