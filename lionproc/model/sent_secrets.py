"""What a request carries that nobody else may see."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

import orjson

from lionproc.model.credentials import has_long_run, is_surely_key
from lionproc.model.secret_names import is_of_id, is_of_secret, is_of_session

__all__ = ["secrets_in", "secrets_of_proxy"]

SHORTEST_SECRET = 8
_LONG_ID = 20  # characters of a code or of a session's id that lets somebody in
# Names of headers and parameters whose values are words, versions and addresses.
_PLAIN_NAMES = {
    "accept",
    "accept-encoding",
    "accept-language",
    "anthropic-beta",
    "anthropic-version",
    "api-version",
    "connection",
    "content-length",
    "content-type",
    "host",
    "http-referer",
    "openai-organization",
    "openai-project",
    "referer",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-title",
}
_PART = re.compile(r"(?:^|[\s,;])(?:[\w.-]+=(?![=\s,;]|$))?\"?([^\s,;\"]+)")


def secrets_in(headers: Mapping[str, object], url: str = "") -> tuple[str, ...]:
    """What a request carries that nobody else may see, as a careless server may send it back.

    Args:
        headers: Names and values as they are sent.
        url: The address, with its parameters.

    Returns:
        Each credential without its scheme, whole and in its parts, passwords of Basic
        authentication decoded, what travels percent-encoded as servers read it, cookies of a session or a login and those that look like one,
        parameters such as `key`, those of addresses within and their logins, and values of any other header that are keys by their look (see
        `is_surely_key`): what may be an id is in answers too. Very short ones are left out:
        replacing them would tear up answers.
    """
    named = [(name, value) for name, value in headers.items() if isinstance(value, str)]
    named += parse_qsl(urlsplit(url).query)
    carried = [secret for name, value in named for secret in _parts(name, value)]
    carried += [
        said for each in carried if "%" in each for said in (unquote(each), unquote_plus(each))
    ]
    found = [secret for secret in carried if len(secret) >= SHORTEST_SECRET]
    # The longest first: one may be a part of another.
    return tuple(sorted(dict.fromkeys(found), key=len, reverse=True))


def secrets_of_proxy(proxy: str | None) -> tuple[str, ...]:
    """What a proxy is sent, which it may send back: its password, as it is and as it travels.

    Args:
        proxy: Its address; None for no proxy.

    Example:
        >>> secrets_of_proxy("http://me:pass%20word@proxy.example:3128")
        ('bWU6cGFzcyB3b3Jk', 'me:pass word', 'pass word')
    """
    login = urlsplit(proxy or "").netloc.rpartition("@")[0]
    if not login:
        return ()
    name, _, password = map(unquote, login.partition(":"))
    sent = base64.b64encode(f"{name}:{password}".encode()).decode()
    # A token alone stands where the name is.
    return secrets_in(
        {"Proxy-Authorization": f"Basic {sent}", **({} if password else {"token": name})}
    )


def _parts(name: str, value: str) -> Iterator[str]:
    lower = name.lower()
    if lower in _PLAIN_NAMES or lower.startswith("x-stainless-"):
        return
    within = _fields_of(value)
    for field in within:
        yield from _parts(*field)
    yield from _of_addresses(value)
    if not (is_of_secret(name) or (is_of_id(name) and len(value) >= _LONG_ID)):
        is_text = len(value) <= 200 and "://" not in value and " " not in value
        if is_text and not within and is_surely_key(value):
            yield value
        return
    if lower == "cookie":
        yield from _crumbs(value)
        return
    scheme, _, rest = value.partition(" ")
    if not rest or not lower.endswith("authorization"):
        yield value  # where there is no scheme, all of it, whatever is in it
    yield rest
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(rest, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        yield decoded
        yield decoded.partition(":")[2]
    yield from _PART.findall(rest or value)
    yield from _of_signature(rest or value)


def _of_signature(text: str) -> Iterator[str]:
    """The secret values within `SharedAccessSignature sr=...&sig=...`."""
    for pair in text.split("&"):
        name, equals, held = pair.partition("=")
        if equals and is_of_secret(name.strip()):
            yield held


def _of_addresses(value: str) -> Iterator[str]:
    """The logins and parameters of the addresses in a text that let somebody in."""
    for word in value.split():
        if "://" in word:
            address = word.strip("\"'<>,;")
            with contextlib.suppress(ValueError):  # it is none
                yield from (*secrets_of_proxy(address), *secrets_in({}, address))


def _crumbs(cookies: str) -> Iterator[str]:
    """The values of cookies that may let somebody in; of others, such as a region, answers tell too."""
    for crumb in cookies.split(";"):
        name, _, value = (part.strip(' "') for part in crumb.partition("="))
        is_long = len(value) >= _LONG_ID and has_long_run(value)
        if is_of_session(name) or is_long or is_surely_key(value):
            yield value


def _fields_of(value: str) -> list[tuple[str, str]]:
    """The names and texts within a header that is JSON, as settings of a gateway are.

    What looks like a key has the name of what it stands in, where that is one of secrets.
    """
    if not value.lstrip().startswith(("{", "[")):
        return []
    try:
        waiting = [("", orjson.loads(value))]
    except ValueError:
        return []
    found = []
    while waiting:
        name, held = waiting.pop()
        if isinstance(held, dict):
            is_within = is_of_secret(name)
            waiting += (
                (name if is_within and _may_be_key(each) else own, each)
                for own, each in held.items()
            )
        elif isinstance(held, list):
            waiting += ((name, each) for each in held)
        elif isinstance(held, str):
            found.append((name, held))
    return found


def _may_be_key(held: object) -> bool:
    return not isinstance(held, str) or has_long_run(held) or is_surely_key(held)
