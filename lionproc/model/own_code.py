"""Code of the user's own in an openai client that may change what is sent.

What it adds cannot be seen before it runs: a tenant, say, and another one with each client. What
openai and httpx bring along is no such code, and nor is what looks at requests from around their
own classes, as tools for tracing do.
"""

from __future__ import annotations

from functools import cached_property
from inspect import getattr_static
from typing import Any

from lionproc.errors import ModelError
from lionproc.model.unwrapping import layers, unwrapped

__all__ = ["CLIENT", "HTTP_CLIENT", "own_code_in", "within_proxies"]

CLIENT, HTTP_CLIENT = "client=", "The http_client of client="

_LIBRARIES = {"httpx", "httpx2", "openai"}
# The logins of httpx.
_LOGINS = ("BasicAuth", "DigestAuth", "NetRCAuth")
# What calls the rest. On one client it is replaced by tracing, in a class by who shapes requests.
_WHOLE_CALLS = {"post", "request", "send"}
# What a request never comes by before it is sent: other requests, the end of a client, what is
# made with it, redirects, retries and replies. All else that the libraries' classes have may shape
# it.
_BESIDE = {
    CLIENT: {
        *("_calculate_retry_timeout", "_configure_realtime", "_configure_realtime_with_api_key"),
        *("_default_stream_cls", "_make_sse_decoder", "_make_status_error"),
        *("_make_status_error_from_response", "_parse_retry_after_header", "_process_response"),
        *("_process_response_data", "_request_api_list", "_serialize_multipartform"),
        *("_should_retry", "_sleep_for_retry", "_validate_max_retries", "_websocket_query_params"),
        *("_websocket_query_params_fallback", "close", "copy", "delete", "get", "get_api_list"),
        *("is_closed", "patch", "put", "user_agent", "with_options"),
    },
    HTTP_CLIENT: {
        *("_build_redirect_request", "_get_proxy_map", "_init_proxy_transport", "_init_transport"),
        *("_redirect_headers", "_redirect_method", "_redirect_stream", "_redirect_url"),
        *("_set_timeout", "aclose", "close", "delete", "get", "head", "is_closed", "options"),
        *("patch", "post", "put", "query", "request", "sse", "stream", "timeout", "trust_env"),
        "websocket",
    },
}
# What only objects of those classes have.
_FIELDS = {
    *("_auth", "_base_url", "_client", "_cookies", "_custom_headers", "_custom_query"),
    *("_event_hooks", "_headers", "_params", "organization", "project"),
}
_ASKED_FOR_ALL = {"__getattr__", "__getattribute__"}


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
    for what, thing in ((CLIENT, client), (HTTP_CLIENT, http)):
        if name := _own(thing, _BESIDE[what]):
            kind = thing.__class__.__name__
            return f"{what} is a {kind}, which shapes its requests with a {name} of its own"
    for hook in http.event_hooks.get("request", ()):
        if not _is_theirs(hook):
            name = getattr(hook, "__name__", type(hook).__name__)
            return f"{HTTP_CLIENT} shapes its requests with a hook ({name})"
    login = type(http.auth)
    if http.auth is not None and not (_is_theirs(login) and login.__name__ in _LOGINS):
        return f"{HTTP_CLIENT} signs in with {login.__name__}"
    return ""


def within_proxies(what: str, thing: Any) -> Any:
    """What proxies stand for that only look on.

    Args:
        what: `CLIENT` or `HTTP_CLIENT`.
        thing: That client.

    Raises:
        ModelError: A proxy shapes requests by code of its own, which nothing would run.
    """
    *proxies, inner = layers(thing)
    for proxy in proxies:
        # What a proxy does for all names is to ask what is within.
        if name := _own_of_class(type(proxy), type(inner), _BESIDE[what], {*_FIELDS, "api_key"}):
            kind, within = type(proxy).__name__, type(inner).__name__
            raise ModelError(
                f"{what} is a proxy ({kind}) around {within}, and its own {name} would not be run: "
                f"lionproc asks over connections of its own. Give the {within} itself, and what "
                f"{kind} adds as default_headers= of the openai client or as event_hooks= of its "
                "http_client."
            )
    return inner


def _own(client: object, beside: set[str]) -> str:
    """The name of something that may shape requests and is none of the libraries' own."""
    kind = type(client)
    for name, value in vars(client).items():
        if callable(value) and name not in _WHOLE_CALLS and _shapes(kind, name, beside):
            return name
    return _own_of_class(kind, kind, beside, _FIELDS | _ASKED_FOR_ALL)


def _own_of_class(kind: type, asked: type, beside: set[str], fields: set[str]) -> str:
    """The same in a class; `asked` is the class of the client that the libraries know."""
    theirs = _theirs_of(asked).__mro__
    for each in kind.__mro__:
        if each not in theirs and not _is_theirs(each):
            for name in vars(each):
                if name in fields or _shapes(asked, name, beside):
                    return name
    return ""


def _shapes(kind: type, name: str, beside: set[str]) -> bool:
    if name in beside or name.startswith("__"):
        return False
    base = getattr_static(_theirs_of(kind), name, None)
    return base is not None and not isinstance(base, cached_property)  # as `chat`


def _theirs_of(kind: type) -> type:
    """The libraries' own class that a class is made from."""
    return next(filter(_is_theirs, kind.__mro__), object)


def _is_theirs(code: object) -> bool:
    return str(getattr(code, "__module__", "")).partition(".")[0] in _LIBRARIES
