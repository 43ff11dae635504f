"""What the operator allows one decode, and the refusals that say so."""

from __future__ import annotations

from dataclasses import dataclass

from services.runtime.errors import InvalidArgumentError, Reason

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """All limits are inclusive.

    ``max_pixels`` of one frame, ``max_total_pixels`` of a frame times the number of frames or pages.
    ``timeout_s`` and ``memory_mb`` bound what runs in a child process; what is decoded in this one is
    bounded by its bytes and pixels.
    """

    max_bytes: int = 64 * MIB
    max_pixels: int = 50_000_000
    max_total_pixels: int = 200_000_000
    timeout_s: float = 4.0
    memory_mb: int = 1_024

    def check_bytes(self, size_bytes: int) -> None:
        """Raises InvalidArgumentError with IMAGE_TOO_LARGE."""
        if size_bytes > self.max_bytes:
            raise InvalidArgumentError(
                Reason.IMAGE_TOO_LARGE,
                f"The image has {size_bytes} bytes, the limit is {self.max_bytes}.",
                limit_bytes=self.max_bytes,
            )

    def check_pixels(self, pixels: int) -> None:
        """Raises InvalidArgumentError with IMAGE_TOO_MANY_PIXELS."""
        if pixels > self.max_pixels:
            raise self.too_many_pixels(pixels)

    def check_frames(self, pixels: int, frames: int) -> None:
        """As ``check_pixels``, for all frames together."""
        if pixels * frames > self.max_total_pixels:
            raise InvalidArgumentError(
                Reason.IMAGE_TOO_MANY_PIXELS,
                f"The {frames} frames have {pixels * frames} pixels together, the limit is "
                f"{self.max_total_pixels}; send fewer.",
                limit_pixels=self.max_total_pixels,
                pixels=pixels * frames,
            )

    def too_many_pixels(self, pixels: object) -> InvalidArgumentError:
        """The refusal of one frame."""
        return InvalidArgumentError(
            Reason.IMAGE_TOO_MANY_PIXELS,
            f"The image has {pixels} pixels, the limit is {self.max_pixels}; scale it down.",
            limit_pixels=self.max_pixels,
            pixels=pixels,
        )

    def too_slow(self) -> InvalidArgumentError:
        """The refusal of what takes too long."""
        return InvalidArgumentError(
            Reason.IMAGE_DECODE_TIMEOUT,
            f"Decoding the image took longer than {self.timeout_s:g} seconds; save it in a simpler form.",
            limit_seconds=f"{self.timeout_s:g}",
        )

    def too_much_memory(self) -> InvalidArgumentError:
        """The refusal of what takes too much memory."""
        return InvalidArgumentError(
            Reason.IMAGE_UNDECODABLE,
            f"Decoding the image takes more than {self.memory_mb} MB of memory; scale it down.",
            limit_memory_mb=self.memory_mb,
        )


def undecodable() -> InvalidArgumentError:
    """The refusal of damaged files and of other formats."""
    return InvalidArgumentError(
        Reason.IMAGE_UNDECODABLE,
        "The bytes do not decode; send a complete JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF image.",
    )
