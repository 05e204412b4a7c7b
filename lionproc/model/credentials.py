"""Hides API keys, and removes them from what servers send back."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache, wraps
from pathlib import Path
from typing import Generic, NoReturn, ParamSpec, TypeAlias, TypeVar

from lionproc.errors import LionprocError
from lionproc.model.escapes import (
    LONG,
    UNRESERVED,
    UNSEEN,
    has_escapes,
    without_escapes,
    without_unseen,
)

__all__ = [
    "REDACTED",
    "WORDS",
    "Secret",
    "has_long_run",
    "has_prefix_of_key",
    "hidden",
    "is_of_words",
    "is_surely_key",
    "looks_like_key",
    "place_of",
    "sealed",
]

T = TypeVar("T")
P = ParamSpec("P")

REDACTED = b"[key]"
LONGEST_WORDS = 24  # characters; passphrases of several words are longer
LONGEST_NUMBER = 12  # digits of what is no key, as `1234567890` is none; answers have such numbers
# What people give to servers that want no key (`not-needed`, `anything`): words, as answers say them.
_WORD = r"(?:[A-Z]?[a-z]+|[A-Z]+)"
WORDS = re.compile(rf"{_WORD}(?:[-_. ]{_WORD})*")
_RUN = re.compile(r"[A-Za-z0-9]{12,}")
_LONG_RUN = re.compile(r"[A-Za-z0-9]{24,}")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]*")
_KEY_PREFIX = re.compile(
    r"\s*(?:Bearer\s+\S|xox[abeprs]-\w{8}|(?:sk|pk|rk)-[\w-]{4}|(?:gsk|hf|ghp|r8|fw|sk)_\w{8}|xai-\w{8}|AIza\w{8})"
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_+=-]{24,}")


class Secret(Generic[T]):
    """Something with a key in it, shown to nobody who only looks at it.

    Tracebacks that print local variables, `vars()`, logs and pickles see `[key]` or nothing.

    Args:
        kept: The key, or what holds it.

    Example:
        >>> Secret("sk-...")
        [key]
    """

    __slots__ = ("_kept",)

    def __init__(self, kept: T) -> None:
        self._kept = kept

    @classmethod
    def of(cls, kept: T | Secret[T]) -> Secret[T]:
        """What is kept already, or is kept from now on."""
        return kept if isinstance(kept, Secret) else Secret(kept)

    def reveal(self) -> T:
        """What is kept. Do not give it a name in a frame that may raise."""
        return self._kept

    def __repr__(self) -> str:
        return REDACTED.decode()

    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, memo: Mapping[int, object]) -> Secret[T]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key is not pickled: take it from the environment where it is used.")


def sealed(function: Callable[P, T]) -> Callable[P, T]:
    """Let errors leave a function without its frames, because those hold a key in the clear."""

    @wraps(function)
    def outside(*args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  (its frames are not shown, nor those of Ctrl-C)
            failed = error
        if isinstance(failed, UnicodeError):  # it keeps the text that it is about
            failed = ValueError(str(failed)).with_traceback(failed.__traceback__)
        if not isinstance(failed, LionprocError):
            failed.add_note(f"Raised {place_of(failed)}; the frames hold a key and are left out.")
        failed.__cause__ = failed.__context__ = None
        raise failed.with_traceback(None)

    return outside


def place_of(error: BaseException) -> str:
    """Where an error was raised, without anything that its frames hold.

    Args:
        error: What was caught.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "by code without frames"
    return f"in {Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno}"


def looks_like_key(text: str) -> bool:
    """Whether a text given as a name or an address is a key that went to the wrong place.

    Example:
        >>> looks_like_key("sk-proj-0123456789"), looks_like_key("gpt-4o-mini")
        (True, False)
    """
    if has_prefix_of_key(text):
        return True
    text = text.strip()
    return bool(_BARE_KEY.fullmatch(text)) and has_long_run(text.replace("-", "").replace("_", ""))


def is_surely_key(text: str) -> bool:
    """Whether a text is a key by its look alone: no name, number, hash or id of anything is like it.

    Example:
        >>> is_surely_key("q83vEjRWeJCrze9x1Zt0k2b3"), is_surely_key("order-20240501a7")
        (True, False)
    """
    kinds = (str.isdigit, str.islower, str.isupper)
    return has_prefix_of_key(text) or any(
        all(any(map(kind, run)) for kind in kinds) and not _HEXADECIMAL.fullmatch(run)
        for run in _LONG_RUN.findall(text)
    )


def has_prefix_of_key(text: str) -> bool:
    """Whether a text begins as the keys of a provider do, as no name, hash or id does."""
    return _KEY_PREFIX.match(text) is not None


def has_long_run(text: str) -> bool:
    """Whether there is a long run of letters and digits together, as in keys and ids."""
    return any(
        any(map(str.isdigit, run)) and any(map(str.isalpha, run)) for run in _RUN.findall(text)
    )


def hidden(status: int, body: bytes, secrets: Collection[str]) -> bytes:
    """A reply without the secrets that its request carried; one in pieces may come in one.

    A placeholder such as `anything` or `your-api-key` is a word, and answers say it too. There it
    stays: an answer with a hole in it would be taken for what the model said.

    Args:
        status: Of the reply.
        body: What came back.
        secrets: From `lionproc.model.sent_secrets`.
    """
    good = 200 <= status < 300
    answers = good or b'"failed_generation"' in body  # as far as is known here
    sought = _sought(tuple(secrets), words=not answers)
    body = _without(body, sought)
    is_plain = body.lstrip()[:1] == b"{"
    whole = _as_one(body) if good and (sought or not is_plain) else body
    found = whole if whole is body else _without(whole, sought)
    if found == whole and sought and ((escaped := has_escapes(whole)) or not good):
        plainer = without_escapes(whole, answers=answers)
        clean = _without(plainer, sought)
        # Of a long error nothing is shown that was not looked at.
        is_unseen = escaped and not answers and len(whole) > LONG
        found = clean if clean != plainer or is_unseen else whole
    found = _joined(whole, tuple(secrets)) if found == whole and sought and answers else found
    return body if found == whole and is_plain else found


def _joined(body: bytes, secrets: tuple[str, ...]) -> bytes:
    """The body without secrets of which what is unseen keeps the letters apart: errors drop that."""
    plain = without_escapes(body, answers=True) if has_escapes(body) else body
    bare = without_unseen(plain)
    if bare is plain or _without(bare, _sought(secrets, words=False)) == bare:
        return body
    return _without(plain, _sought(secrets, words=False, apart=True))


def _as_one(body: bytes) -> bytes:
    """The body; in one piece if it is a stream or has its text in pieces: as any other, if read again."""
    from lionproc.model.body import in_one_piece

    return in_one_piece(body) or body


def is_of_words(secret: str) -> bool:
    """Whether it is nothing but a word or a few, or a number, as answers say them."""
    if secret.isdecimal():
        return len(secret) <= LONGEST_NUMBER
    return len(secret) <= LONGEST_WORDS and WORDS.fullmatch(secret) is not None


_Spelling: TypeAlias = bytes | re.Pattern[bytes]


@lru_cache(maxsize=64)
def _sought(secrets: tuple[str, ...], *, words: bool, apart: bool = False) -> tuple[_Spelling, ...]:
    """How those are written that are to be hidden; the longest first, as one may be in another."""
    kept = [secret for secret in secrets if words or not is_of_words(secret)]
    return tuple(_spelling(secret, apart) for secret in sorted(kept, key=len, reverse=True))


def _without(body: bytes, sought: Iterable[_Spelling]) -> bytes:
    """The body with `[key]` in place of each secret: plain, or with escapes; see `_spelling`."""
    for spelling in sought:
        if isinstance(spelling, bytes):
            if spelling in body:
                body = body.replace(spelling, REDACTED)
        else:
            body = spelling.sub(REDACTED, body)
    return body


@lru_cache(maxsize=256)
def _spelling(secret: str, apart: bool = False) -> _Spelling:
    """How a secret may be written: plain, or escaped for JSON (one within another too), URLs or HTML.

    Every repetition is bounded, so a search is linear.
    """
    if UNRESERVED.fullmatch(secret) and not apart:  # nothing escapes these
        return secret.encode()
    return re.compile((UNSEEN if apart else b"").join(map(_letter, secret)))


def _letter(letter: str) -> bytes:
    plain = re.escape(letter.encode())
    if UNRESERVED.fullmatch(letter):
        return plain
    code = ord(letter)
    percent = b"".join(b"%%(?:25){0,3}%s" % _hex(f"{byte:02x}") for byte in letter.encode())
    ways = [
        rb"\\{0,8}" + plain,  # as it is, and as `\/` and `\"`
        percent,
        rb"&#0{0,4}%d;" % code,
        rb"&#[xX]0{0,4}%s;" % _hex(f"{code:x}"),
    ]
    if code < 0x10000:
        ways.append(rb"\\{1,8}u%s" % _hex(f"{code:04x}"))
    if letter in _NAMED:
        ways.append(_NAMED[letter])
    return b"(?:" + b"|".join(ways) + b")"


_NAMED = {"&": b"&amp;", "<": b"&lt;", ">": b"&gt;", '"': b"&quot;", " ": rb"\+", "+": b"&plus;"}


def _hex(digits: str) -> bytes:
    """Hexadecimal digits in either case."""
    return "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in digits).encode()
