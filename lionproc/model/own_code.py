"""Code of the user's own in an openai client that may change what is sent.

What it adds cannot be seen before it runs: a tenant, say, and another one with each client. What
openai and httpx bring along is no such code, and nor is what looks at requests from around their
own classes, as tools for tracing do.
"""

from __future__ import annotations

from typing import Any

__all__ = ["own_code_in"]

_LIBRARIES = {"httpx", "httpx2", "openai"}
# The logins of httpx.
_LOGINS = ("BasicAuth", "DigestAuth", "NetRCAuth")
# What calls the rest. On one client it is replaced by tracing, in a class by who shapes requests.
_WHOLE_CALLS = ("post", "request", "send")
# What makes a request of openai's clients and of httpx's, besides.
_SHAPES = (
    *("_auth_headers", "_auth_query", "_bearer_auth", "_build_headers", "_build_request"),
    *("_custom_auth", "_prepare_options", "_prepare_request", "_prepare_url", "_send_request"),
    *("_send_with_auth_retry", "_validate_headers", "auth_headers", "base_url", "custom_auth"),
    *("default_headers", "default_query", "platform_headers", "qs"),
)
_HTTP_SHAPES = (
    *("_build_auth", "_build_request_auth", "_merge_cookies", "_merge_headers"),
    *("_merge_queryparams", "_merge_url", "_send_handling_auth", "_send_handling_redirects"),
    *("_send_single_request", "_transport_for_url", "auth", "base_url", "build_request"),
    *("cookies", "event_hooks", "headers", "params"),
)


def own_code_in(client: Any) -> str:
    """What code of its user's own a client shapes its requests with, as the start of a sentence.

    Args:
        client: An openai client, or what stands for one.

    Returns:
        Nothing, where there is none.
    """
    http = getattr(client, "_client", None)
    if http is None:
        return ""
    for what, thing, shapes in (
        ("client=", client, _SHAPES),
        ("The http_client of client=", http, _HTTP_SHAPES),
    ):
        if name := _own(thing, shapes):
            kind = thing.__class__.__name__
            return f"{what} is a {kind}, which shapes its requests with a {name} of its own"
    for hook in http.event_hooks.get("request", ()):
        if not _is_theirs(hook):
            name = getattr(hook, "__name__", type(hook).__name__)
            return f"The http_client of client= shapes its requests with a hook ({name})"
    login = type(http.auth)
    if http.auth is not None and not (_is_theirs(login) and login.__name__ in _LOGINS):
        return f"The http_client of client= signs in with {login.__name__}"
    return ""


def _own(client: Any, shapes: tuple[str, ...]) -> str:
    """The name of a method that shapes requests and is none of the libraries' own."""
    for name in shapes:
        if name in vars(client):
            return name
    for kind in client.__class__.__mro__:  # what is within, where tracing has wrapped it whole
        if not _is_theirs(kind):
            for name in (*_WHOLE_CALLS, *shapes):
                if name in vars(kind):
                    return name
    return ""


def _is_theirs(code: object) -> bool:
    return str(getattr(code, "__module__", "")).partition(".")[0] in _LIBRARIES
