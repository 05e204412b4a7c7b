"""Code of the user's own in an openai client that may change what is sent.

What it adds cannot be seen before it runs: a tenant, say, and another one with each client. What
openai and httpx bring along is no such code, and nor is what looks at requests from around their
own classes, as tools for tracing do.
"""

from __future__ import annotations

from functools import cached_property
from inspect import getattr_static
from typing import Any

from lionproc.model.unwrapping import unwrapped

__all__ = ["own_code_in"]

_LIBRARIES = {"httpx", "httpx2", "openai"}
# The logins of httpx.
_LOGINS = ("BasicAuth", "DigestAuth", "NetRCAuth")
# What calls the rest. On one client it is replaced by tracing, in a class by who shapes requests.
_WHOLE_CALLS = {"post", "request", "send"}
# What a request never comes by before it is sent: other requests, the end of a client, what is
# made with it, retries and replies. All else that the libraries' classes have may shape it.
_BESIDE = {
    *("_calculate_retry_timeout", "_default_stream_cls", "_make_sse_decoder"),
    *("_make_status_error", "_make_status_error_from_response", "_parse_retry_after_header"),
    *("_process_response", "_process_response_data", "_request_api_list", "_should_retry"),
    *("_sleep_for_retry", "_validate_max_retries", "close", "copy", "delete", "get"),
    *("get_api_list", "is_closed", "patch", "put", "user_agent", "with_options"),
}
_HTTP_BESIDE = {
    *("_build_redirect_request", "_get_proxy_map", "_init_proxy_transport", "_init_transport"),
    *("aclose", "close", "delete", "get", "head", "is_closed", "options", "patch", "post", "put"),
    *("query", "request", "sse", "stream", "timeout", "trust_env", "websocket"),
}
# What only objects of those classes have, and what is asked for all that they have.
_FIELDS = {
    *("_auth", "_base_url", "_client", "_cookies", "_custom_headers", "_custom_query"),
    *("_event_hooks", "_headers", "_params", "organization", "project"),
    *("__getattr__", "__getattribute__"),
}


def own_code_in(client: Any) -> str:
    """What code of its user's own a client shapes its requests with, as the start of a sentence.

    Args:
        client: An openai client, or what stands for one.

    Returns:
        Nothing, where there is none.
    """
    http = unwrapped(getattr(client, "_client", None))
    if http is None:
        return ""
    for what, thing, beside in (
        ("client=", client, _BESIDE),
        ("The http_client of client=", http, _HTTP_BESIDE),
    ):
        if name := _own(thing, beside):
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


def _own(client: object, beside: set[str]) -> str:
    """The name of something that may shape requests and is none of the libraries' own."""
    kinds = type(client).__mro__
    theirs: Any = next(filter(_is_theirs, kinds), object)

    def shapes(name: str) -> bool:
        if name in beside or name.startswith("__"):
            return False
        base = getattr_static(theirs, name, None)
        return base is not None and not isinstance(base, cached_property)  # as `chat`

    for name, value in vars(client).items():
        if callable(value) and name not in _WHOLE_CALLS and shapes(name):
            return name
    for kind in kinds:
        if kind not in theirs.__mro__ and not _is_theirs(kind):
            for name in vars(kind):
                if name in _FIELDS or shapes(name):
                    return name
    return ""


def _is_theirs(code: object) -> bool:
    return str(getattr(code, "__module__", "")).partition(".")[0] in _LIBRARIES
