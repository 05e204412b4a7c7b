"""Names of headers, parameters and fields whose values are keys.

They are read word by word: `x-portkey-config`, `keyspace` and `author` name none.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "IS_SECRET",
    "MAY_BE_SECRET",
    "OF_AUTHENTICATION",
    "is_of_id",
    "is_of_secret",
    "is_of_session",
    "spelt",
]

_BEHIND: Final = (
    r"(?:[-_ ]?(?:base64|primary|secondary|string|text|value|v(?=[0-9])))?[-_ ]?[0-9]*$"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# What is a key, whatever it looks like, if it is no word: not of `secret_project`, `cookie_policy`.
IS_SECRET: Final = re.compile(
    r"(?:passw[a-z]*|passphrase|pwd|secret|credentials?|authorization|cookies?"
    r"|client[-_ ]assertion|saml[-_ ]?response|"
    r"(?:access|account|api|app|auth|bearer|client|csrf|id|license|master|private|refresh|secret"
    r"|session|subscription|user|xsrf)[-_ ]?(?:key|token)s?)" + _BEHIND
)
# What is one where it looks like one: not of `keywords`, `author` or `tokenizer`.
MAY_BE_SECRET: Final = re.compile(
    r"(?:^|[^a-z])(?:(?:key|token|code|jwt|sas|sig|signature)(?:[^a-z]|$)|(?:keys|tokens)$)"
)
OF_AUTHENTICATION: Final = re.compile(
    r"(?:^|[^a-z])(?:[ox]?auth2?|auth[-_]?code|authentication)(?:[^a-z]|$)"
)
# Of headers and parameters, by their last word: not of `X-Signature-Version`, `X-Auth-Email`.
_ENDS_AS_ONE = re.compile(
    r"authorization|(?:^|[^a-z])(?:keys?|tokens?|jwt|sas|sig|signature|[ox]?auth|authentication"
    r"|bearer|hmac|(?:access|auth|function|pass)[-_]?code"
    r"|(?!(?:port|mon|tur|don|whis|hoc|joc)key)[a-z]+(?:key|token)s?)" + _BEHIND
)
# Keys that open nothing: of a cache, of a part of a table, of a request. And numbers of tokens.
_NO_SECRET = re.compile(
    r"(?:(?:cache|dedup|foreign|group|idempotency|partition|public|routing|row|shard|sharding|sort)"
    r"[-_]?key|(?:max|num|stop|total)[-_]?tokens)" + _BEHIND
)
# What somebody named himself is none: a code of a place, a session, the key of a project (`ACME-1`).
_OF_A_THING = (
    r"(?:config|customer|dataset|experiment|feature|issue|language|lookup|map|metric|object|project"
    r"|registry|tenant|trace|translation)[-_]?key$"
)
_IS_ID = re.compile(rf"^code$|(?:^|[^a-z])(?:session(?:[-_]?id)?$|{_OF_A_THING})")


# Of cookies: `sid`, `connect.sid`, `JSESSIONID`, `remember_me`; not of `region`, `consent`.
_OF_SESSION = re.compile(
    r"sess|(?:^|[^a-z])s?sid(?:[^a-z]|$)|auth|login|jwt|ticket|remember|saml|sso"
)


def spelt(name: str) -> str:
    """A name in small letters, with its words apart.

    Example:
        >>> spelt("OpenAIKey"), spelt("X-API-Key")
        ('open_ai_key', 'x-api-key')
    """
    return _HUMP.sub("_", name).lower()


def is_of_secret(name: str) -> bool:
    """Whether the value of a header or a parameter of this name is a secret, whatever it looks like.

    Example:
        >>> is_of_secret("X-Gateway-Key"), is_of_secret("x-portkey-config")
        (True, False)
    """
    called = spelt(name)
    if _NO_SECRET.search(called) or _IS_ID.search(called):
        return False
    return bool(IS_SECRET.search(called) or _ENDS_AS_ONE.search(called))


def is_of_id(name: str) -> bool:
    """Whether it is one if it is long: a code, the id of a session, the key of a project."""
    return _IS_ID.search(spelt(name)) is not None


def is_of_session(name: str) -> bool:
    """Whether a cookie of this name lets somebody in, as that of a session or of a login does.

    Example:
        >>> is_of_session("JSESSIONID"), is_of_session("region")
        (True, False)
    """
    return is_of_secret(name) or _OF_SESSION.search(spelt(name)) is not None
