"""What identifies the endpoint that answers, as part of the journal's key.

An answer is kept under its question and this identity. Left out is the plain key, so that the
same account with a new key still finds what it paid for. Everything else that a request carries
may lead it somewhere else (a tenant, a route, an organization), so it is a part of the identity.

Older journals have a key that is sent as `api-key` in it. What was kept under such an identity is
found too, as long as the key is the same.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from http.cookiejar import Cookie
from typing import Any

from lionproc.errors import ModelError
from lionproc.model.own_code import own_code_in
from lionproc.model.unwrapping import is_made_by_openai, unwrapped

__all__ = [
    "former_identity_of",
    "identity_of",
    "in_order",
    "sent_headers",
    "set_by_servers",
    "with_scope",
]

# What says how a message travels, or which message it is, and nothing about who answers it.
_OF_THE_MESSAGE = {
    "accept",
    "accept-encoding",
    "baggage",
    "connection",
    "content-length",
    "content-type",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-client-request-id",
    "x-correlation-id",
    "x-request-id",
}
# Where the plain key goes besides `Authorization`: at Azure, and at gateways that do as it does.
_KEY_NAMES = ("api-key", "x-api-key")
# Cookies that servers set with any reply, so that the next request takes the same way or is known
# for no robot's, by the documentation of Cloudflare ("Cloudflare cookies"), Akamai, DataDome and
# Imperva, of the load balancers and firewalls of AWS, Azure, Google, Heroku, Alibaba, Huawei, Citrix
# and F5, of Cloud Foundry, nginx ingress, HAProxy and OpenShift (32 digits): each call that the user
# makes with a client of their own may bring another one.
_OF_A_BALANCER = re.compile(
    r"(?:__cf(?:_bm|lb|ruid|seq|waitingroom)|_cfuvid|cf_clearance|cf_ob_info|cf_use_ob"
    r"|AWSALB(?:APP-\d|CORS|TG|TGCORS)?|AWSELB(?:CORS)?"
    r"|(?:ARRAffinity|ApplicationGatewayAffinity|ASLBSA)(?:SameSite|CORS)?|acaAffinity|GCLB"
    r"|heroku-session-affinity|__VCAP_ID__|acw_tc|aliyungf_tc|HWWAFSES(?:ID|TIME)"
    r"|(?:NSC|citrix_ns_id)_\w+|citrix_ns_id|datadome|_abck|ak_bmsc|bm_(?:mi|s|so|ss|sv|sz)"
    r"|BIGipServer.*|TS01[0-9a-f]{6,}|INGRESSCOOKIE|SERVERID|(?:incap_ses|visid_incap|nlbi)_\w+"
    r"|[0-9a-f]{32})$"
)
# What the logins of httpx hold: of Basic, of Digest, of a file with logins.
_OF_A_LOGIN = ("_auth_header", "_username", "_password", "_netrc_info")


def sent_headers(client: Any) -> dict[str, str]:
    """What a client sends with every request; its own headers go before its key.

    Args:
        client: An openai client.
    """
    named: dict[str, tuple[str, Any]] = {}
    for name, value in [*client.auth_headers.items(), *client.default_headers.items()]:
        named[name.lower()] = name, value
    return {
        name: value
        for lower, (name, value) in named.items()
        if isinstance(value, str) and not lower.startswith("x-stainless-")
    }


def identity_of(base: str, client: object, scope: str | None) -> str:
    """The identity of a place, with nothing readable in it but the address.

    Args:
        base: The address.
        client: An openai client for it.
        scope: What the user says of it; "" that nothing that cannot be seen decides who answers.

    Returns:
        The address alone, where there is nothing else to it.

    Raises:
        ModelError: The client signs in or shapes its requests by code of its user, and there is
            no scope: it may do so for one tenant or another, and their answers would be the same.
    """
    if scope is None and (code := own_code_in(client)):
        raise ModelError(
            f"{code}, and from here it cannot be seen for whom: the answers kept for one account "
            "could be given to another. If this code chooses the account, give it a name: "
            'lp.Model(..., scope="tenant a"). If it only looks on, as for a log, say so: '
            'lp.Model(..., scope="").'
        )
    return with_scope(base, scope, *_carried(client, _plain(client), scope))


def former_identity_of(base: str, client: Any, scope: str | None) -> str:
    """The identity that a place had in journals of before; the same one for most.

    Args:
        base: As for `identity_of`.
        client: As for `identity_of`.
        scope: As for `identity_of`.
    """
    plain = {(name.lower(), value) for name, value in client.auth_headers.items()}
    return with_scope(base, scope, *_carried(client, plain, scope))


def _plain(client: Any) -> set[tuple[str, str]]:
    """The headers that only open the place: the client's key, under each name it may have."""
    plain = {(name.lower(), value) for name, value in client.auth_headers.items()}
    keys = [value.removeprefix("Bearer ") for _, value in plain]
    return {*plain, *((name, key) for name in _KEY_NAMES for key in keys)}


def with_scope(base: str, scope: str | None, *carried: tuple[str, str]) -> str:
    """An identity with what else belongs to it, as a digest."""
    parts = sorted({*carried, *((("scope", scope),) if scope else ())})
    if not parts:
        return base
    return f"{base} {blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()}"


def in_order(carried: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The same, where of those with one name each may count by its place.

    Args:
        carried: Names and values in their order.

    Yields:
        A value as it is where its name is there once, else all of that name together.
    """
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in carried:
        by_name[name].append(value)
    for name, values in by_name.items():
        if len(values) == 1:
            yield name, values[0]
        else:
            yield f"{name}\0all", json.dumps(values)  # a name that no single value has


def set_by_servers(client: Any) -> set[str]:
    """The names of the cookies in a client of the user's that servers set there and that count.

    Who logs in with a client has a session in it, which may be of one tenant or another; what only
    keeps a way is known by its name.

    Args:
        client: An openai client.
    """
    http = unwrapped(getattr(client, "_client", None))
    return {cookie.name for cookie in _cookies(http) if _is_of_server(cookie)}


def _cookies(http: Any) -> Iterator[Cookie]:
    if http is None or is_made_by_openai(http):  # it has only servers' own
        return
    for cookie in http.cookies.jar:
        if not (_is_of_server(cookie) and _OF_A_BALANCER.match(cookie.name)):
            yield cookie


def _is_of_server(cookie: Cookie) -> bool:
    """Whether a reply brought it: one that its user gave has no domain, or one without a dot."""
    return bool(cookie.domain) and (cookie.domain.startswith(".") or not cookie.domain_specified)


def _carried(
    client: Any, plain: set[tuple[str, str]], scope: str | None
) -> Iterator[tuple[str, str]]:
    sent = sent_headers(client)
    yield from _headers(sent, plain)
    for name, value in client.default_query.items():
        if name != "api-version":
            yield f"?{name}", str(value)
    http = unwrapped(getattr(client, "_client", None))
    if http is None:
        return
    # What the client itself sends goes before what its http client has under the same name.
    ours = {name.lower() for name in sent}
    yield from _headers({n: v for n, v in http.headers.items() if n.lower() not in ours}, plain)
    params = http.params.multi_items()
    yield from in_order((f"?{n}", v) for n, v in params if n not in client.default_query)
    for cookie in _cookies(http):
        if scope is not None and _is_of_server(cookie):
            continue  # the scope says for whom
        yield f"cookie {cookie.domain}{cookie.path} {cookie.name}", cookie.value or ""
    yield from _of_transport("", http._transport)
    for pattern, transport in http._mounts.items():
        yield from _of_transport(f" {pattern.pattern}", transport)
    if http.auth is not None:
        login = (getattr(http.auth, name, "") for name in _OF_A_LOGIN)
        yield "auth", f"{type(http.auth).__name__} {' '.join(filter(None, map(str, login)))}"


def _of_transport(where: str, transport: object) -> Iterator[tuple[str, str]]:
    """Where it connects, besides the address; not as whom at a proxy: passwords there change."""
    pool = getattr(transport, "_pool", None)
    if socket := getattr(pool, "_uds", None):  # the address is only a name then
        yield f"socket{where}", str(socket)
    for raw, value in getattr(pool, "_proxy_headers", ()):
        name = raw.decode("latin-1").lower()
        if name not in _OF_THE_MESSAGE and name != "proxy-authorization":
            yield f"proxy{where} {name}", value.decode("latin-1")


def _headers(headers: Mapping[str, str], plain: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        lower = name.lower()
        if lower not in _OF_THE_MESSAGE and (lower, value) not in plain:
            yield lower, value
