"""A description as the message under which it is kept, and back."""

from __future__ import annotations

from google.protobuf import json_format

from services.captioner.prompt import PROMPT_VERSION
from services.captioner.provider import Description, ParseMode, Tokens
from sightmill.v1 import captioner_pb2

PARSE_MODES = {
    ParseMode.NOT_ASKED: captioner_pb2.PARSE_MODE_UNSPECIFIED,
    ParseMode.JSON: captioner_pb2.PARSE_MODE_JSON,
    ParseMode.REPAIRED: captioner_pb2.PARSE_MODE_REPAIRED,
    ParseMode.SECTIONS: captioner_pb2.PARSE_MODE_SECTIONS,
    ParseMode.PROSE: captioner_pb2.PARSE_MODE_PROSE,
}
_MODES = {number: mode for mode, number in PARSE_MODES.items()}


def message_from(description: Description, provider: str) -> captioner_pb2.Caption:
    """What is worth keeping; what it cost is counted elsewhere."""
    caption = captioner_pb2.Caption(
        text=description.text,
        tags=description.tags,
        objects=description.objects,
        language=description.language,
        provider=provider,
        model=description.model,
        parse_mode=PARSE_MODES[description.parse_mode],
        prompt_version=PROMPT_VERSION,
    )
    if description.attributes:
        json_format.ParseDict(dict(description.attributes), caption.attributes)
    return caption


def description_from(caption: captioner_pb2.Caption) -> Description:
    """A description that costs nothing any more."""
    return Description(
        text=caption.text,
        tags=tuple(caption.tags),
        objects=tuple(caption.objects),
        language=caption.language,
        model=caption.model,
        parse_mode=_MODES.get(caption.parse_mode, ParseMode.NOT_ASKED),
        tokens=Tokens(),
        attributes=json_format.MessageToDict(caption.attributes),
        cost_micros=0,
    )
