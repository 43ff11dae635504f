"""The decoder that all detectors share: plain images in this process, all others in a child."""

from __future__ import annotations

from functools import partial

import cv2
from prometheus_client import CollectorRegistry

from services.analyzer.decode.limits import DecodeLimits, undecodable
from services.analyzer.decode.raster import Header, Raster, decode_any, decode_plain, prepare, prepare_child
from services.analyzer.decode.screening import is_plain
from services.analyzer.decode.upright import shrink, turn_upright
from services.analyzer.detector import AnalysisCancelledError, Cancellation
from services.analyzer.picture import Picture, Pixels
from services.runtime.child_processes import (
    ChildDiedError,
    ChildProcesses,
    ChildrenBusyError,
    JobCancelledError,
    JobOutOfMemoryError,
    JobTimedOutError,
)
from services.runtime.errors import Reason, ResourceExhaustedError


def open_decode_children(
    limits: DecodeLimits, size: int, registry: CollectorRegistry | None = None
) -> ChildProcesses:
    """At most ``size`` processes for a Decoder of the same limits; close them when it is done."""
    return ChildProcesses(
        "decode",
        size,
        memory_mb=limits.memory_mb,
        prepare=partial(prepare_child, limits.max_pixels),
        registry=registry,
    )


class Decoder:
    """Decodes images (first frame only). Safe to share between threads.

    With ``children`` only plain images (``is_plain``) are decoded in this process. Without, all are, and
    neither time nor memory nor a crash of a decoder is bounded: for files of one's own.
    """

    def __init__(self, limits: DecodeLimits, children: ChildProcesses | None = None) -> None:
        self._limits = limits
        self._children = children
        prepare(limits.max_pixels)

    def decode(self, data: bytes, cancelled: Cancellation = None) -> Picture:
        """Decode to a Picture.

        Raises InvalidArgumentError with IMAGE_TOO_LARGE, IMAGE_UNDECODABLE (none of FORMATS, damaged beyond
        a partial JPEG, or too much for the memory limit), IMAGE_TOO_MANY_PIXELS (judged from the header,
        before any pixel is decoded) or IMAGE_DECODE_TIMEOUT, and ResourceExhaustedError (OVERLOADED) where
        no child is free. A decode in a child ends soon after ``cancelled`` is set with
        AnalysisCancelledError.
        """
        header, raster = self._decode(data, cancelled, full_colour=False)
        orientation = header.exif.orientation
        turn = 1 if raster.turned else orientation
        rgb = turn_upright(raster.rgb, turn)
        if raster.grey is None:
            grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        else:
            grey = turn_upright(raster.grey, turn)
        preview = shrink(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) if raster.reduction > 1 else grey)
        for pixels in (grey, rgb, preview):
            pixels.setflags(write=False)
        return Picture(
            grey=grey,
            rgb=rgb,
            preview=preview,
            reduction=raster.reduction,
            format=header.format,
            mode=header.mode,
            frames=header.frames,
            orientation=orientation,
            truncated=raster.truncated,
            exif=header.exif,
        )

    def decode_colour(self, data: bytes, cancelled: Cancellation = None) -> tuple[Pixels, str]:
        """Decode to a writable upright RGB array at full resolution, and the format; errors as ``decode``."""
        header, raster = self._decode(data, cancelled, full_colour=True)
        rgb = turn_upright(raster.rgb, 1 if raster.turned else header.exif.orientation)
        return (rgb if rgb.flags.writeable else rgb.copy()), header.format

    def _decode(self, data: bytes, cancelled: Cancellation, *, full_colour: bool) -> tuple[Header, Raster]:
        limits = self._limits
        limits.check_bytes(len(data))
        try:
            if self._children is None:
                return decode_any(data, limits, full_colour)
            plain = decode_plain(data, limits, full_colour) if is_plain(data) else None
            return plain or self._children.call(
                decode_any, data, limits, full_colour, timeout_s=limits.timeout_s, cancelled=cancelled
            )
        except JobCancelledError:
            raise AnalysisCancelledError from None
        except JobTimedOutError as error:
            raise limits.too_slow() from error
        except (MemoryError, JobOutOfMemoryError) as error:
            raise limits.too_much_memory() from error
        except ChildrenBusyError as error:
            raise ResourceExhaustedError(
                Reason.OVERLOADED, "All decoders are busy; come back in a moment.", retry_after_s=1.0
            ) from error
        except ChildDiedError as error:
            raise undecodable() from error
