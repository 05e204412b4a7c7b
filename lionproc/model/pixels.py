"""The size of a picture in pixels, from its first bytes. Pure, and reads nothing else of it."""

from __future__ import annotations

__all__ = ["size_of"]

# Start of frame of every kind of JPEG; C4, C8 and CC between them mean something else.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MOST = 100_000  # pixels a side


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, JPEG, GIF, WebP or BMP; None where they cannot be found.

    Args:
        data: The beginning of the file.

    Example:
        >>> size_of(b"GIF89a" + bytes([16, 0, 9, 0]))
        (16, 9)
    """
    width = height = 0
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = _big(data[16:20]), _big(data[20:24])
    elif data[:3] == b"GIF":
        width, height = _little(data[6:8]), _little(data[8:10])
    elif data[:2] == b"BM":
        width, height = _little(data[18:22]), _little(data[22:26])
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        width, height = _webp(data)
    elif data[:2] == b"\xff\xd8":
        width, height = _jpeg(data)
    return (width, height) if 0 < width <= _MOST and 0 < height <= _MOST else None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return _little(data[24:27]) + 1, _little(data[27:30]) + 1
    if kind == b"VP8L":
        bits = _little(data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return _little(data[26:28]) & 0x3FFF, _little(data[28:30]) & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int]:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAMES:
            return _big(data[place + 7 : place + 9]), _big(data[place + 5 : place + 7])
        place += 2 + max(_big(data[place + 2 : place + 4]), 2) if marker != 0xFF else 1
    return 0, 0
