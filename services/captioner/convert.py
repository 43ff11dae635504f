"""Messages to what the domain works with, and back."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import get_args

from google.protobuf import json_format

from services.captioner.chain import Told
from services.captioner.lanes.breaker import State
from services.captioner.measurements import ColourShare, Focus, Measurements, Scene
from services.captioner.prompt import PROMPT_VERSION
from services.captioner.provider import Ask, Detail, Origin
from services.captioner.records.caption_message import PARSE_MODES
from services.captioner.settings import ProviderId
from services.runtime.errors import InvalidArgumentError, Reason
from sightmill.v1 import analyzer_pb2, captioner_pb2, common_pb2

MAX_PROMPT_CHARS = 4_000
MAX_PROVIDERS = 2 * len(get_args(ProviderId))
USD = "USD"
_BATCH = re.compile(r"batches/[A-Za-z0-9_-]{1,128}")
_DIGEST_KEY = re.compile(r"sha256/[0-9a-f]{2}/[0-9a-f]{2}/([0-9a-f]{64})")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
_DETAILS: dict[int, Detail] = {
    captioner_pb2.CAPTION_DETAIL_LOW: "low",
    captioner_pb2.CAPTION_DETAIL_HIGH: "high",
}
_FOCUS = {
    analyzer_pb2.BLUR_LEVEL_LOW: Focus.SHARP,
    analyzer_pb2.BLUR_LEVEL_MEDIUM: Focus.SOFT,
    analyzer_pb2.BLUR_LEVEL_HIGH: Focus.BLURRED,
}
_SCENES = {
    analyzer_pb2.SCENE_TYPE_INDOOR: Scene.INDOOR,
    analyzer_pb2.SCENE_TYPE_OUTDOOR: Scene.OUTDOOR,
    analyzer_pb2.SCENE_TYPE_NATURE: Scene.NATURE,
}
STATES = {
    State.READY: captioner_pb2.PROVIDER_STATE_READY,
    State.THROTTLED: captioner_pb2.PROVIDER_STATE_THROTTLED,
    State.OPEN: captioner_pb2.PROVIDER_STATE_OPEN,
    State.EXHAUSTED: captioner_pb2.PROVIDER_STATE_EXHAUSTED,
}


def ask_from(options: captioner_pb2.CaptionOptions, default_detail: Detail) -> Ask:
    """The options with defaults filled in; raises InvalidArgumentError (INVALID_FIELD)."""
    if len(options.providers) > MAX_PROVIDERS:
        raise invalid_field("options.providers", f"Name at most {MAX_PROVIDERS} providers.")
    language = options.language or "en"
    if not _LANGUAGE.fullmatch(language):
        raise invalid_field("options.language", "A language is a BCP 47 tag such as 'en' or 'pt-BR'.")
    if len(options.prompt) > MAX_PROMPT_CHARS:
        raise invalid_field("options.prompt", f"A prompt has at most {MAX_PROMPT_CHARS} characters.")
    if options.detail and options.detail not in _DETAILS:
        raise invalid_field("options.detail", "The detail is LOW or HIGH.")
    tokens = options.max_output_tokens or 400
    if not 16 <= tokens <= 4_096:
        raise invalid_field("options.max_output_tokens", "Allow 16 to 4096 tokens, or 0 for 400.")
    return Ask(language, options.prompt.strip(), _DETAILS.get(options.detail, default_detail), tokens)


def timeout_from(request: captioner_pb2.CaptionImagesRequest, default_s: float) -> float:
    """Seconds for one item; raises InvalidArgumentError (INVALID_FIELD)."""
    if not request.HasField("timeout"):
        return default_s
    timeout_s = request.timeout.seconds + request.timeout.nanos / 1e9
    if timeout_s <= 0:
        raise invalid_field("timeout", "A timeout is longer than zero; leave it out for the default.")
    return min(timeout_s, 86_400.0)


def origin_from(batch: str) -> Origin:
    """Whose call it is; raises InvalidArgumentError (INVALID_FIELD)."""
    if batch and not _BATCH.fullmatch(batch):
        raise invalid_field("batch", "A batch is named batches/{batch}.")
    return Origin(batch)


def digest_of(blob_key: str) -> str:
    """The SHA-256 that a blob key of the suite's own form names; empty for other keys."""
    found = _DIGEST_KEY.fullmatch(blob_key)
    return found[1] if found else ""


def money(micros: int) -> common_pb2.Money:
    """Millionths of a US dollar."""
    return common_pb2.Money(currency_code=USD, micros=micros)


def measurements_from(insights: analyzer_pb2.Insights) -> Measurements:
    """The part of the insights that can be put into words."""
    return Measurements(
        width=insights.width,
        height=insights.height,
        colours=tuple(
            ColourShare(each.color.red, each.color.green, each.color.blue, each.share)
            for each in insights.dominant_colors
        ),
        brightness=insights.luminance.brightness if insights.HasField("luminance") else None,
        focus=_FOCUS.get(insights.luminance.blur_level, Focus.UNKNOWN),
        scene=_SCENES.get(insights.scene.type, Scene.UNKNOWN),
        face_count=len(insights.faces.faces) if insights.HasField("faces") else None,
        text=insights.text.text if insights.HasField("text") else None,
        barcode_count=len(insights.barcodes),
    )


def caption_from(told: Told, settings_digest: str, elapsed_s: float) -> captioner_pb2.Caption:
    """The message that says everything about an answer."""
    description = told.description
    usage = common_pb2.TokenUsage(
        input_tokens=description.tokens.input, output_tokens=description.tokens.output
    )
    if description.cost_micros is not None:
        usage.cost.CopyFrom(money(description.cost_micros))
    caption = captioner_pb2.Caption(
        text=description.text,
        tags=description.tags,
        objects=description.objects,
        language=description.language,
        provider=told.provider,
        model=description.model,
        degraded=bool(told.degraded_reason),
        degraded_reason=told.degraded_reason,
        cached=told.cached,
        usage=usage,
        parse_mode=PARSE_MODES[description.parse_mode],
        prompt_version=PROMPT_VERSION,
        settings_digest=settings_digest,
        attempts=[
            captioner_pb2.ProviderAttempt(provider=each.provider, message=each.message)
            for each in told.attempts
        ],
    )
    if description.attributes:
        json_format.ParseDict(dict(description.attributes), caption.attributes)
    caption.elapsed.FromTimedelta(timedelta(seconds=elapsed_s))
    return caption


def invalid_field(field: str, rule: str) -> InvalidArgumentError:
    """A field outside its documented range."""
    return InvalidArgumentError(Reason.INVALID_FIELD, f"{field}: {rule}", field=field)
