"""One decode an image: upright, bounded, shared by all detectors, and no danger to the process."""

from services.analyzer.decode.decoder import Decoder, open_decode_children
from services.analyzer.decode.limits import DecodeLimits
from services.analyzer.decode.raster import FORMATS, QUARTER_ABOVE_EDGE_PX, REDUCE_ABOVE_PIXELS
from services.analyzer.decode.upright import PREVIEW_EDGE_PX, average_down, halve

__all__ = [
    "FORMATS",
    "PREVIEW_EDGE_PX",
    "QUARTER_ABOVE_EDGE_PX",
    "REDUCE_ABOVE_PIXELS",
    "DecodeLimits",
    "Decoder",
    "average_down",
    "halve",
    "open_decode_children",
]
