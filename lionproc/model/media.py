"""What pictures, sounds and files in a message cost in tokens, before anybody has counted. Pure.

A picture of 0.7 MB is a million characters in the body and a thousand tokens on the bill, so its
bytes say nothing. Providers charge by its size in pixels, each in a way of its own; replies then
teach by how much a rule is off (see `Estimator`). What cannot be looked into (an address, a file
kept at the provider) is taken for something usual: a picture of 1024 by 1024, a document of ten
pages, a minute of sound or film.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lionproc.model.pixels import size_of
from lionproc.model.usage import BYTES_PER_TOKEN

__all__ = ["NO_MEDIA", "Media", "Tariff", "tariff_of", "weigh"]

USUAL_PIXELS = (1024, 1024)
USUAL_PAGES = 10
USUAL_SECONDS = 60.0
PAGE_BYTES = 100_000  # of a PDF whose pages cannot be counted
SOUND_BYTES_PER_S = 16_000  # 128 kbit/s, as MP3 usually has
FILM_BYTES_PER_S = 250_000  # 2 Mbit/s
_HEAD = 262_144  # characters of base64 in which the size of a picture stands
_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")


class Media(NamedTuple):
    """The parts of a message that are not text.

    Attributes:
        size: Bytes that they take in the body.
        tokens: Tokens that they will probably take.
    """

    size: int = 0
    tokens: int = 0


NO_MEDIA = Media()


@dataclass(frozen=True, slots=True)
class Tariff:
    """How a model charges for what is not text.

    Attributes:
        base: Tokens of any picture, and all of one with detail "low", where tiles are charged.
        tile: Tokens of each tile.
        tile_px: The side of a tile; 0 where `patch` counts instead.
        patch: Tokens of each patch of 32 by 32 pixels.
        most_patches: A larger picture is made smaller until it has no more.
        area: Pixels a token, where the area is charged; 0 where it is not.
        page: Tokens of a page of a document.
        sound: Tokens of a second of sound.
        film: Tokens of a second of film.
    """

    base: int = 85
    tile: int = 170
    tile_px: int = 512
    patch: float = 0.0
    most_patches: int = 1536
    area: int = 0
    page: int = 2000
    sound: float = 10.0
    film: float = 300.0

    def picture(self, width: int, height: int, *, low: bool) -> int:
        """Tokens of a picture of this size.

        Example:
            >>> Tariff().picture(2048, 4096, low=False), Tariff().picture(4096, 8192, low=True)
            (1105, 85)
        """
        if self.area:
            shrunk = min(1.0, 1568 / max(width, height))
            return math.ceil(min(width * height * shrunk * shrunk / self.area, 1600.0))
        if self.patch:
            patches = math.ceil(width / 32) * math.ceil(height / 32)
            return math.ceil(min(patches, self.most_patches) * self.patch)
        if low and self.base:
            return self.base
        if self.base:  # OpenAI's: into a square of 2048, then the shorter side to 768
            shrunk = min(1.0, 2048 / max(width, height))
            shrunk *= min(1.0, 768 / (min(width, height) * shrunk))
            width, height = round(width * shrunk), round(height * shrunk)
        elif max(width, height) <= 384:
            return self.tile
        tiles = math.ceil(width / self.tile_px) * math.ceil(height / self.tile_px)
        return self.base + self.tile * tiles


_CLAUDE = Tariff(area=750)
_GEMINI = Tariff(base=0, tile=258, tile_px=768, page=258, sound=32.0, film=263.0)
_USUAL = Tariff()
# By how a model's name begins, the longer beginning first. Sources: OpenAI, "Images and vision"
# (and what users were billed where it is silent); Anthropic, "Vision"; Google, "Token counting".
_TARIFFS = (
    ("gpt-4o-mini", Tariff(base=2833, tile=5667)),
    ("gpt-4.1-mini", Tariff(patch=1.62)),
    ("gpt-4.1-nano", Tariff(patch=2.46)),
    ("o4-mini", Tariff(patch=1.72)),
    ("gpt-5-mini", Tariff(patch=1.2)),
    ("gpt-5-nano", Tariff(patch=1.5)),
    ("gpt-5.", Tariff(patch=1.2, most_patches=2500)),
    ("gpt-5", Tariff(base=70, tile=140)),
    ("o1", Tariff(base=75, tile=150)),
    ("o3", Tariff(base=75, tile=150)),
    ("claude", _CLAUDE),
    ("gemini", _GEMINI),
)


def tariff_of(model: str) -> Tariff:
    """How a model charges for what is not text, as far as its name tells.

    Args:
        model: Its name, with or without a provider before it.
    """
    name = model.rpartition("/")[2].lower()
    return next((tariff for start, tariff in _TARIFFS if name.startswith(start)), _USUAL)


def weigh(messages: Sequence[Mapping[str, object]], tariff: Tariff) -> Media:
    """What the parts of messages that are not text take.

    Args:
        messages: Chat messages; their content is a text or a list of parts.
        tariff: How the model charges.
    """
    size = tokens = 0
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, Mapping) and (found := _part(part, tariff)) is not None:
                size += found.size
                tokens += found.tokens
    return Media(size, tokens) if size or tokens else NO_MEDIA


def _part(part: Mapping[str, Any], tariff: Tariff) -> Media | None:
    kind = str(part.get("type"))
    held = part.get(kind)
    fields: Mapping[str, Any] = held if isinstance(held, Mapping) else {**part, "url": held}
    text = next(
        (
            fields[name]
            for name in ("url", "data", "file_data", "file_id")
            if isinstance(fields.get(name), str)
        ),
        "",
    )
    inside = text.partition("base64,")[2] if text.startswith("data:") else text
    if "image" in kind:
        width, height = size_of(_decoded(inside[:_HEAD])) or USUAL_PIXELS
        return Media(len(text), tariff.picture(width, height, low=fields.get("detail") == "low"))
    if "audio" in kind:
        return Media(len(text), math.ceil(_seconds(inside) * tariff.sound))
    if "video" in kind:
        seconds = _length(inside) / FILM_BYTES_PER_S if _is_data(text) else USUAL_SECONDS
        return Media(len(text), math.ceil(seconds * tariff.film))
    if "file" in kind or "document" in kind:
        return Media(len(text), _document(text, inside, tariff))
    return None


def _is_data(text: str) -> bool:
    """Whether a text holds the thing itself, and does not only say where it is."""
    return text.startswith("data:") or (len(text) > 2000 and "://" not in text[:16])


def _length(text: str) -> int:
    return len(text) * 3 // 4


def _seconds(text: str) -> float:
    if not text:
        return USUAL_SECONDS
    head = _decoded(text[:64])
    rate = int.from_bytes(head[28:32], "little") if head[:4] == b"RIFF" else 0
    return _length(text) / (rate or SOUND_BYTES_PER_S)


def _document(text: str, inside: str, tariff: Tariff) -> int:
    if not _is_data(text):
        return USUAL_PAGES * tariff.page
    if text.startswith("data:text/"):
        return math.ceil(_length(inside) / BYTES_PER_TOKEN)
    pages = len(_PAGE.findall(_decoded(inside)))
    return (pages or math.ceil(_length(inside) / PAGE_BYTES)) * tariff.page


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text[: len(text) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""
