"""The body of a reply as it arrives: decompressed by us, and never longer than a reply can be.

Both wires read through this. No library decompresses for us, because a few kilobytes can become
gigabytes before anybody has looked at their length.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

from lionproc.engine.reply_room import LONG_BYTES, Held
from lionproc.errors import CallError, Kind
from lionproc.model.wire import MAX_REPLY_BYTES, too_long

ACCEPT_ENCODING = "gzip, deflate"  # what is asked for, and all that is understood
PIECE_BYTES = 256 * 1024
MOST_MEMBERS = 100  # of a gzip, one behind the other; empty ones are work and no length
_GZIP = zlib.MAX_WBITS | 16
_GZIP_NAMES = ("gzip", "x-gzip")


async def bounded(chunks: AsyncIterator[bytes], encoding: str, status: int) -> AsyncIterator[bytes]:
    """A body piece by piece, as long as it is no longer than a reply can sensibly be.

    A long one waits while all of them take too much memory; see `ReplyRoom`.

    Args:
        chunks: The body as it arrives.
        encoding: Its `Content-Encoding`; empty for none.
        status: The status that it came with, and that an error has: a 200 may have been billed.

    Yields:
        The body decompressed.

    Raises:
        CallError: Of kind `bad_reply`: it is too long, is compressed in a way that was not asked
            for, or is not what its compression says.
    """
    encoding = encoding.strip().lower()
    if encoding not in {"", "identity", "deflate", *_GZIP_NAMES}:
        why = "The reply is compressed in a way that was not asked for."
        raise CallError(Kind.BAD_REPLY, why, status=status)
    packed = _Packed(encoding, status) if encoding not in {"", "identity"} else None
    size, small = 0, bytearray()
    held = Held()
    try:
        async for chunk in chunks:
            for piece in (chunk,) if packed is None else packed.open(chunk):
                size += len(piece)
                if size > MAX_REPLY_BYTES:
                    raise too_long(status)
                if size > LONG_BYTES:
                    await held.more(len(piece))
                if not small and len(piece) >= PIECE_BYTES:
                    yield piece
                    continue
                # A million pieces of two bytes would take fifty times as much memory.
                small += piece
                if len(small) >= PIECE_BYTES:
                    yield bytes(small)
                    small.clear()
        if small:
            yield bytes(small)
    finally:
        held.ends()
    if packed is not None and not packed.whole:
        raise _garbled(status)


def _garbled(status: int) -> CallError:
    why = "The reply cannot be decompressed, or not to its end."
    return CallError(Kind.BAD_REPLY, why, status=status)


class _Packed:
    """Decompresses in pieces of a bounded size.

    Args:
        encoding: gzip or deflate.
        status: As for `bounded`.
    """

    def __init__(self, encoding: str, status: int) -> None:
        self._status = status
        self._bits = _GZIP if encoding in _GZIP_NAMES else 0
        self._open = zlib.decompressobj(self._bits) if self._bits else None
        self._seen = False
        self._members = 1

    @property
    def whole(self) -> bool:
        """Whether what was begun is ended; nothing at all is whole, too."""
        return not self._seen or (self._open is not None and self._open.eof)

    def open(self, chunk: bytes) -> Iterator[bytes]:
        """What a chunk holds."""
        while chunk:
            self._seen = True
            if self._open is None:  # "deflate" is zlib's format, and on some servers bare
                self._bits = zlib.MAX_WBITS if chunk[0] & 0x0F == 8 else -zlib.MAX_WBITS
                self._open = zlib.decompressobj(self._bits)
            elif self._open.eof:
                if self._bits != _GZIP or not chunk.strip(b"\0"):
                    return
                self._members += 1
                if self._members > MOST_MEMBERS:
                    raise _garbled(self._status)
                self._open = zlib.decompressobj(self._bits)  # gzip may have another member
            try:
                piece = self._open.decompress(chunk, PIECE_BYTES)
            except zlib.error:
                raise _garbled(self._status) from None
            if piece:
                yield piece
            chunk = self._open.unused_data if self._open.eof else self._open.unconsumed_tail
            if not piece and not chunk and not self._open.eof:
                return
