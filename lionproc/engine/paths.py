"""What a path means that somebody gave: `~`, `file://`, addresses, and paths of another system."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from lionproc.errors import ConfigurationError, did_you_mean

__all__ = ["absolute", "is_url", "local_path", "missing_file", "shown"]

# As pandas has it, with two characters at least: "C://x" is a drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?:::[A-Za-z0-9+.-]+)*://")
_COLLAPSED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")  # what pathlib makes of an address
_OF_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether it is an address ("s3://...") and no path of this machine ("file://..." is one).

    Args:
        path: A path or an address.
    """
    text = _written(path)
    return isinstance(text, str) and bool(_URL.match(text)) and not _is_file(text)


def local_path(path: str | os.PathLike[str]) -> Path:
    """The file or folder of this machine that is meant.

    Args:
        path: A path; `~` is the home folder. Or an address that begins with "file://".

    Returns:
        The path. It need not be there.

    Raises:
        ConfigurationError: It is an address, or was one, a path of Windows while this is not
            Windows, or nothing that can be a path.

    Example:
        >>> local_path("~/x") == Path.home() / "x"
        True
    """
    text = _written(path)
    if flaw := _flaw(text):
        raise ConfigurationError(f"{text!r} cannot be the path of a file: {flaw}.")
    if _is_file(text):
        parts = urlsplit(text)
        if parts.netloc not in {"", "localhost"}:
            raise ConfigurationError(
                f"{_masked(text)!r} names another machine. Give a path of this one."
            )
        from urllib.request import url2pathname  # it brings the whole of HTTP along

        text = url2pathname(parts.path)
    elif _URL.match(text):
        raise ConfigurationError(
            f"{shown(text)!r} is an address, and this has to be a path of this machine."
        )
    if _COLLAPSED.match(text) and not Path(text.partition("/")[0]).exists():
        raise ConfigurationError(
            f"This address has lost a slash, as in a pathlib.Path, and would become a folder "
            f"{text.partition('/')[0]!r} here. Give it as text: "
            f"{_masked(text.replace(':/', '://', 1))!r}."
        )
    if os.name != "nt" and _OF_WINDOWS.match(text):
        raise ConfigurationError(
            f"{text!r} is a path of Windows, and this is not Windows: here it would become one "
            "long name. Give the path as it is here (under WSL, C:\\ is /mnt/c/)."
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"{text!r} cannot be the path of a file: {error}") from None


def missing_file(path: Path, endings: tuple[str, ...]) -> ConfigurationError:
    """The error for a file that is not there: where it was looked for, and what is near.

    Args:
        path: The file.
        endings: What the names of files end in that it could have been.
    """
    if not path.parent.is_dir():
        return ConfigurationError(f"There is no folder {str(path.parent)!r}.")
    others: list[str] = []
    with contextlib.suppress(OSError):  # a folder that may not be looked at
        others = sorted(f.name for f in path.parent.iterdir() if f.name.lower().endswith(endings))
    return ConfigurationError(
        f"There is no file {path.name!r} in {str(path.parent.resolve())!r}."
        + did_you_mean(path.name, others)
    )


def absolute(path: str | os.PathLike[str]) -> str:
    """The same place wherever the process goes later (`os.chdir`): what a run keeps of a path.

    Args:
        path: A path of this machine, or an address, which is kept as it is.

    Returns:
        The path from the root on; with a slash at its end, which means a folder, if it had one.

    Raises:
        ConfigurationError: As `local_path`.
    """
    text = os.fspath(path)
    if is_url(text):
        return text
    end = os.sep if isinstance(text, str) and text.endswith(("/", os.sep)) else ""
    return str(local_path(text).absolute()).rstrip(os.sep) + end or os.sep


def shown(path: str | os.PathLike[str]) -> str:
    """A path or an address as it may be shown: without a password or a key that is in it."""
    text = os.fspath(path)
    return _masked(text) if is_url(text) else text


def _masked(address: str) -> str:
    scheme, _, rest = address.partition("://")
    head = re.split(r"[?#]", rest, maxsplit=1)[0]
    if "@" in rest[len(head) :]:  # a password may have these signs in it
        return f"{scheme}://***"
    told, at, host = head.rpartition("@")
    if at and (":" in told or "@" in head.partition("/")[0]):  # a password, or a token
        return f"{scheme}://***@{host}"
    return f"{scheme}://{head}"


def _is_file(text: str) -> bool:
    return text[:7].lower() == "file://"


def _written(path: str | os.PathLike[str]) -> str:
    try:
        return os.fspath(path)
    except TypeError:
        raise ConfigurationError(
            f"A {type(path).__name__} cannot be the path of a file: give a text or a pathlib.Path."
        ) from None


def _flaw(text: object) -> str:
    if not isinstance(text, str):
        return "give a text or a pathlib.Path"
    if not text or "\0" in text:
        return "it has a NUL character in it" if text else "it is empty"
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        odd, code = text[error.start], sys.getfilesystemencoding()
        return f"names of files are written as {code} here, which does not have {odd!a}"
    return ""
