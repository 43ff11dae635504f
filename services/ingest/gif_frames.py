"""Counts the frames of a GIF by its structure alone: nothing is decoded, nothing allocated."""

from __future__ import annotations

_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B
_HAS_COLOR_TABLE = 0x80


def count_gif_frames(data: bytes, enough: int) -> int:
    """Number of frames, at most ``enough``; a damaged file has those that begin before the damage."""
    count = 0
    try:
        at = 13 + _color_table_bytes(data[10])
        while count < enough and data[at] != _TRAILER:
            if data[at] == _EXTENSION:
                at = _after_blocks(data, at + 2)
            elif data[at] == _FRAME:
                count += 1
                at = _after_blocks(data, at + 11 + _color_table_bytes(data[at + 9]))
            else:  # decoders skip what they do not know
                at += 1
    except IndexError:
        return count
    return count


def _color_table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _HAS_COLOR_TABLE else 0


def _after_blocks(data: bytes, at: int) -> int:
    """The position after a run of sub-blocks: each a length and as many bytes, the last one empty."""
    while length := data[at]:
        at += length + 1
    return at + 1
