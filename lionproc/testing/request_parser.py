"""HTTP/1.1 as the test server reads it: requests off the wire, with bodies by length or in chunks."""

from __future__ import annotations

import re

__all__ = ["LARGEST_HEAD", "Chunks", "MalformedError", "Request", "headers_of", "parse"]

_LOOPBACK = re.compile(r"127(\.[0-9]{1,3}){3}|\[::ffff:127(\.[0-9]{1,3}){3}\]")
LARGEST_HEAD = 64 * 1024
LARGEST_BODY = 64 * 2**20


class MalformedError(Exception):
    """Bytes that are no HTTP request; carries the status to refuse them with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Request:
    """One request off the wire; headers are looked up, not parsed, until somebody asks.

    Attributes:
        method: "POST".
        path: The target, with its query.
        head: Everything before the body, as sent.
        body: The body, chunks joined.
    """

    __slots__ = ("_lower", "body", "head", "method", "path")

    def __init__(self, method: str, path: str, head: bytes, lower: bytes, body: bytes) -> None:
        self.method, self.path, self.head, self.body = method, path, head, body
        self._lower = lower

    def cut(self, most: int) -> None:
        """Keep no more than so many bytes of its body and its path, and of its head four times as many."""
        self.path, self.body = self.path[:most], self.body[:most]
        self.head, self._lower = self.head[: 4 * most], self._lower[: 4 * most]

    def header(self, name: bytes) -> str:
        """The value of a header, "" if it is absent.

        Args:
            name: In lower case.
        """
        return _header(self.head, self._lower, name)


def _header(head: bytes, lower: bytes, name: bytes) -> str:
    at = lower.find(b"\r\n" + name + b":")
    if at < 0:
        return ""
    at += len(name) + 3
    return head[at : head.find(b"\r\n", at)].strip().decode("latin-1")


def headers_of(head: bytes) -> dict[str, str]:
    """All headers of a request, names in lower case, repeated ones joined by commas."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            name, value = name.strip().lower(), value.strip()
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


class Chunks:
    """A body that comes in chunks, each of which is looked at once."""

    __slots__ = ("_at", "_body")

    def __init__(self) -> None:
        self._at = 0  # behind the chunks that were read
        self._body = bytearray()

    def read(self, data: bytearray, start: int) -> tuple[bytes | None, int]:
        """What `parse` returns, with the body in place of the request.

        Args:
            data: The buffer; what was in it before is there still.
            start: Where the body begins.

        Raises:
            MalformedError: These are no chunks.
        """
        at = max(self._at, start)
        while True:
            self._at = at
            end = data.find(b"\r\n", at, at + LARGEST_HEAD)
            if end < 0:
                return None, _more(data, at)
            try:
                size = int(data[at:end].split(b";")[0], 16)
            except ValueError:
                raise MalformedError(400, "A chunk has no size.") from None
            if not 0 <= size <= LARGEST_BODY or at > LARGEST_BODY:
                raise MalformedError(413, "The body is too large.")
            if size == 0:  # trailers, if any, end in an empty line
                if data[end + 2 : end + 4] == b"\r\n":
                    return bytes(self._body), end + 4
                last = data.find(b"\r\n\r\n", end, end + LARGEST_HEAD)
                return (None, _more(data, end)) if last < 0 else (bytes(self._body), last + 4)
            at = end + 2 + size + 2
            if len(data) < at:
                return None, at
            self._body += data[end + 2 : at - 2]


def _more(data: bytearray, start: int) -> int:
    """How many bytes must be there before it is worth another try, where no end was found.

    Raises:
        MalformedError: There are too many already.
    """
    if len(data) - start > LARGEST_HEAD:
        raise MalformedError(431, "The head of the request is too large.")
    return len(data) + 1


def parse(data: bytearray, chunks: Chunks) -> tuple[Request | None, int]:
    """The first request in a buffer.

    Args:
        data: What has come in and was not used yet.
        chunks: What was read before of the body of this request.

    Returns:
        The request and how many bytes it used; or None and how many bytes must be there before
        it is worth another try.

    Raises:
        MalformedError: These bytes will never be a request.
    """
    end = data.find(b"\r\n\r\n", 0, LARGEST_HEAD)
    if end < 0:
        return None, _more(data, 0)
    head = bytes(data[: end + 2])
    lower = head.lower()
    line = head[: head.index(b"\r\n")].decode("latin-1").split(" ")
    if len(line) != 3 or not line[2].startswith("HTTP/1."):
        raise MalformedError(400, "This is not an HTTP/1.1 request.")
    if not _is_here(_header(head, lower, b"host")):
        # A page of the internet whose name was made to mean this machine (DNS rebinding)
        raise MalformedError(421, "This server answers to names of this machine alone.")
    start = end + 4
    if "chunked" in _header(head, lower, b"transfer-encoding").lower():
        body, used = chunks.read(data, start)
        if body is None:
            return None, used
    else:
        length = _header(head, lower, b"content-length") or "0"
        if not length.isdecimal():
            raise MalformedError(400, "The content-length is not a number.")
        used = start + int(length)
        if used - start > LARGEST_BODY:
            raise MalformedError(413, "The body is too large.")
        if len(data) < used:
            return None, used
        body = bytes(data[start:used])
    return Request(line[0], line[1], head, lower, body), used


def _is_here(host: str) -> bool:
    """Whether a Host is a name of this machine: loopback, or a name without a dot."""
    name = host.rpartition(":")[0] if re.search(r":[0-9]*$", host) else host
    name = name.rstrip(".").lower()
    return "." not in name or name.endswith(".localhost") or bool(_LOOPBACK.fullmatch(name))
