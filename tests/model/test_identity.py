"""Which answers are shared: those of the same place, whatever key opens it, and no others."""

import os
from unittest.mock import Mock

import httpx2
import openai
import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import LionprocWarning, ModelError
from lionproc.testing import Server

KEY = "sk-test-of-the-identity-0123456789"
AT = "https://one.example/v1"
AZURE = {"azure_endpoint": "https://one.example", "api_version": "1"}


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


def identity(scope=None, kind=openai.AsyncOpenAI, **settings):
    at = {} if "azure_endpoint" in settings else {"base_url": AT}
    client = kind(**{**at, "api_key": KEY, **settings})
    return lp.Model("openai/m", client=client, scope=scope).connect().identity


def http(**settings):
    return {"http_client": httpx2.AsyncClient(**settings)}


PLAIN = {
    "a proxy of http and its login": lambda: identity(
        **http(proxy="http://user:of-mine@proxy.example")
    ),
    "a client": identity,
    "another key": lambda: identity(api_key=KEY + "2"),
    "a sync client": lambda: identity(kind=openai.OpenAI),
    "an http_client": lambda: identity(**http()),
    "a sync http_client": lambda: identity(kind=openai.OpenAI, http_client=httpx2.Client()),
    "a timeout": lambda: identity(timeout=3, max_retries=9),
    "a name of its own": lambda: identity(default_headers={"User-Agent": "me/1"}),
    "a trace": lambda: identity(default_headers={"X-Request-Id": "1", "traceparent": "00-1"}),
    "the plain key once more": lambda: identity(default_headers={"authorization": f"Bearer {KEY}"}),
    "the plain key as Azure reads it": lambda: identity(default_headers={"api-key": KEY}),
    "a model": lambda: lp.Model("openai/m", base_url=AT, api_key=KEY).connect().identity,
}
OTHERS = {
    "header": lambda: identity(default_headers={"X-Tenant": "a"}),
    "another header": lambda: identity(default_headers={"X-Tenant": "b"}),
    "portkey": lambda: identity(default_headers={"x-portkey-config": "a"}),
    "helicone": lambda: identity(default_headers={"Helicone-Target-URL": "https://a.example"}),
    "organization": lambda: identity(organization="a"),
    "project": lambda: identity(project="a"),
    "authorization": lambda: identity(default_headers={"Authorization": "Bearer of-mine-1"}),
    "another authorization": lambda: identity(
        default_headers={"Authorization": "Bearer of-mine-2"}
    ),
    "another key beside it": lambda: identity(default_headers={"api-key": "of-mine-1"}),
    "query": lambda: identity(default_query={"tenant": "a"}),
    "header of http": lambda: identity(**http(headers={"X-Tenant": "c"})),
    "params of http": lambda: identity(**http(params={"tenant": "c"})),
    "params of http in an order": lambda: identity(**http(params={"tenant": ["a", "b"]})),
    "params of http in another order": lambda: identity(**http(params={"tenant": ["b", "a"]})),
    "a param of http twice": lambda: identity(**http(params={"tenant": ["b", "a", "a"]})),
    "a param of http like several": lambda: identity(**http(params={"tenant": '["a", "b"]'})),
    "cookie of http": lambda: identity(**http(cookies={"tenant": "a"})),
    "login of http": lambda: identity(**http(auth=("user", "a"))),
    "another login of http": lambda: identity(**http(auth=("user", "b"))),
    "digest of http": lambda: identity(**http(auth=httpx2.DigestAuth("user", "a"))),
    "another digest of http": lambda: identity(**http(auth=httpx2.DigestAuth("other", "a"))),
    "socket of http": lambda: identity(
        **http(transport=httpx2.AsyncHTTPTransport(uds="/run/a.sock"))
    ),
    "another socket of http": lambda: identity(
        **http(transport=httpx2.AsyncHTTPTransport(uds="/run/b.sock"))
    ),
    "socket of a mount of http": lambda: identity(
        **http(mounts={"https://": httpx2.AsyncHTTPTransport(uds="/run/a.sock")})
    ),
    "another socket of a mount": lambda: identity(
        **http(mounts={"https://": httpx2.AsyncHTTPTransport(uds="/run/b.sock")})
    ),
    "header for a proxy of http": lambda: identity(
        **http(proxy=httpx2.Proxy("http://proxy.example", headers={"X-Tenant": "a"}))
    ),
    "another header for a proxy": lambda: identity(
        **http(proxy=httpx2.Proxy("http://proxy.example", headers={"X-Tenant": "b"}))
    ),
    "another host behind the address": lambda: identity(default_headers={"Host": "a.example"}),
    "scope": lambda: identity(scope="tenant a"),
    "another scope": lambda: identity(scope="tenant b"),
    "scope of a model": lambda: (
        lp.Model("openai/m", base_url=AT, api_key=KEY, scope="c").connect().identity
    ),
}


@pytest.mark.parametrize("way", PLAIN)
def test_what_only_opens_or_carries_shares_the_answers(way):
    assert PLAIN[way]() == AT


@pytest.mark.parametrize("made", [openai.OpenAI, openai.AsyncOpenAI])
def test_a_cookie_that_a_server_set_in_a_client_of_the_users_is_no_other_place(made):
    client = made(base_url=AT, api_key=KEY)
    before = lp.Model("openai/m", client=client).connect().identity
    client._client.cookies.set("session", "of-a-call-1", domain="model.example")
    assert lp.Model("openai/m", client=client).connect().identity == before


@pytest.mark.parametrize(
    "name",
    [
        "__cf_bm",
        "_cfuvid",
        "AWSALBTGCORS",
        "ARRAffinitySameSite",
        "ASLBSA",
        "INGRESSCOOKIE",
        "TS01a4c2f8",
        "acw_tc",
        "HWWAFSESID",
        "acaAffinity",
        "bm_sv",
        "1e2fca1b0a9d4c3f8e7d6c5b4a392817",
    ],
)
def test_the_cookie_of_a_load_balancer_is_no_other_place_unless_the_user_gave_it(name):
    assert identity(**replied(f"{name}=4f9a81; Path=/")) == AT
    assert identity(**http(cookies={name: "4f9a81"})) != AT
    assert identity(**http(cookies={f"{name}_of_mine": "4f9a81"})) != AT


def replied(cookie):
    """An http_client that a reply brought a cookie, as the first call after a login does."""
    client = httpx2.AsyncClient()
    client.cookies.extract_cookies(
        httpx2.Response(
            200, headers={"Set-Cookie": cookie}, request=httpx2.Request("POST", f"{AT}/login")
        )
    )
    assert client.cookies
    return {"http_client": client}


@pytest.mark.parametrize(
    "cookie", ["session=of-{}; Path=/; HttpOnly", "session=of-{}; Path=/; Domain=one.example"]
)
def test_a_session_that_a_server_put_into_an_http_client_is_another_place_and_that_is_said(cookie):
    with pytest.warns(LionprocWarning, match=r"cookie 'session'.*scope="):
        first = identity(**replied(cookie.format("a")))
    with pytest.warns(LionprocWarning, match=r"cookie 'session'.*scope="):
        second = identity(**replied(cookie.format("b")))
    assert len({AT, first, second}) == 3


@pytest.mark.parametrize(
    "cookie", ["session=of-{}; Path=/; HttpOnly", "session=of-{}; Path=/; Domain=one.example"]
)
@pytest.mark.parametrize("scope", ["", "tenant a"])
def test_with_a_scope_what_servers_put_into_an_http_client_is_no_other_place(scope, cookie):
    plain = identity(scope)
    assert identity(scope, **replied(cookie.format("a"))) == plain
    assert identity(scope, **replied(cookie.format("b"))) == plain
    assert identity(scope, **http(cookies={"session": "of-a"})) != plain


def test_all_else_that_is_sent_is_another_place():
    found = {way: make() for way, make in OTHERS.items()}
    assert len({AT, *found.values()}) == len(found) + 1
    for told in found.values():  # and nothing of it can be read there
        assert "tenant" not in told.lower()
        assert "mine" not in told


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda t: {"default_headers": {"X-Tenant": t}}, lambda t: {"headers": {"x-tenant": t}}),
        (lambda t: {"default_query": {"tenant": t}}, lambda t: {"params": {"tenant": t}}),
        (
            lambda t: {"default_headers": {"Authorization": f"Bearer of-{t}"}},
            lambda t: {"headers": {"Authorization": f"Bearer of-{t}"}},
        ),
    ],
    ids=["header", "parameter", "authorization"],
)
def test_what_a_client_sends_counts_and_not_what_its_http_client_would_have_sent(ours, theirs):
    assert identity(**ours("a"), **http(**theirs("b"))) == identity(**ours("a"))
    assert identity(**ours("b"), **http(**theirs("a"))) == identity(**ours("b"))


class Signed(httpx2.Auth):
    """A login of a user's own, for one tenant or another."""

    def auth_flow(self, request):
        yield request


@pytest.mark.parametrize("login", [Signed(), lambda request: request])
def test_a_login_that_cannot_be_looked_into_wants_a_name_for_its_account(login):
    with pytest.raises(ModelError, match=r"signs in with .*scope="):
        identity(**http(auth=login))
    first, second = (identity(**http(auth=login), scope=name) for name in ("a", "b"))
    assert len({AT, first, second}) == 3


async def hooked(request):
    """A hook of a user's own, for one tenant or another."""


def subclass(of, name):
    """A class of a user's own that has its own of one method."""
    return type("Own", (of,), {name: getattr(of, name, None), "__module__": __name__})


class Dated:
    """What a user's class may have beside a library's."""

    organization = property(lambda self: None, lambda self, name: None)


def patched():
    client = openai.AsyncOpenAI(base_url=AT, api_key=KEY)
    client._prepare_request = hooked
    return client


def hooked_later():
    client = openai.AsyncOpenAI(base_url=AT, api_key=KEY)
    client._client.event_hooks["request"].append(hooked)
    return client


def of_http(kind):
    return openai.AsyncOpenAI(base_url=AT, api_key=KEY, http_client=kind())


SHAPING = {
    "a hook": (lambda: of_http(lambda: httpx2.AsyncClient(event_hooks={"request": [hooked]}))),
    "a hook beside those of Azure": (
        lambda: openai.AsyncAzureOpenAI(
            **AZURE, api_key=KEY, **http(event_hooks={"request": [hooked]})
        )
    ),
    "a hook of later": hooked_later,
    "a method of one client": patched,
    "an http_client": lambda: of_http(subclass(httpx2.AsyncClient, "build_request")),
    "a property of a class beside": lambda: type("Own", (Dated, openai.AsyncOpenAI), {})(
        base_url=AT, api_key=KEY
    ),
    "another http_client": lambda: of_http(subclass(openai.DefaultAsyncHttpxClient, "send")),
} | {
    name: (lambda name=name: subclass(openai.AsyncOpenAI, name)(base_url=AT, api_key=KEY))
    for name in (
        *("_prepare_request", "_prepare_options", "_prepare_url", "_build_request"),
        *("_build_headers", "_validate_headers", "auth_headers", "default_headers"),
        *("default_query", "post", "request", "_idempotency_key", "_maybe_override_cast_to"),
        *("_should_stream_response_body", "_refresh_api_key", "__getattribute__"),
    )
}


@pytest.mark.parametrize("way", SHAPING)
def test_a_client_that_shapes_requests_with_code_of_its_own_wants_a_name_for_its_account(way):
    def known(scope=None):
        return lp.Model("openai/m", client=SHAPING[way](), scope=scope).connect().identity

    with pytest.raises(ModelError, match=r"shapes its requests with .*scope="):
        known()
    assert len({AT, known("a"), known("b")}) == 3


def test_a_hook_that_names_the_tenant_gives_no_answer_of_another_and_is_sent_by_each():
    df = pd.DataFrame({"text": ["one"]})
    with Server(answer="fine") as server:

        def ask(tenant, **more):
            async def name(request):
                request.headers["X-Tenant"] = tenant

            client = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key)
            client._client.event_hooks["request"].append(name)
            model = lp.Model("openai/m", client=client, **more)
            df.llm.process("{text}", "a", model=model, progress=False)
            return server.counters.total

        with pytest.raises(ModelError, match="scope="):
            ask("a")
        assert [ask(tenant, scope=tenant) for tenant in "abab"] == [1, 2, 2, 2]
        assert [sent.headers["x-tenant"] for sent in server.requests] == ["a", "b"]


def test_a_log_of_requests_that_is_said_to_be_one_finds_what_was_paid_for_without_it():
    df = pd.DataFrame({"text": ["one"]})
    logged = []
    with Server(answer="fine") as server:

        async def log(request):
            logged.append(request.headers["content-type"])

        def ask(client=None, text="{text}", **more):
            where = {"client": client} if client else {"base_url": server.base_url}
            key = {} if client else {"api_key": server.key}
            model = lp.Model("openai/m", **where, **key, **more)
            df.llm.process(text, "a", model=model, progress=False)
            return server.counters.total

        client = openai.AsyncOpenAI(
            base_url=server.base_url, api_key=server.key, **http(event_hooks={"request": [log]})
        )
        assert ask() == 1
        with pytest.raises(ModelError, match=r'only looks on.*scope=""'):
            ask(client)
        assert ask(client, scope="") == 1
        assert ask(client, "and {text}", scope="") == 2
        assert ask(text="and {text}") == 2
    assert logged == ["application/json"]


class Traced(openai.AsyncOpenAI):
    """What tracing makes of a client: it looks at calls, and at replies."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.request = self.request
        self.chat = Mock()
        self._tracer = Mock()

    @property
    def responses(self):
        """As tools do that look at what is asked."""
        return Mock()

    def copy(self, **settings):
        """As a class does that takes more settings."""
        return super().copy(**settings)

    async def _process_response(self, **reply):
        return await super()._process_response(**reply)


class TracedHttp(httpx2.AsyncClient):
    """A client of httpx with transports of its own, as for a cache, and ways that none asks here."""

    def _init_transport(self, **settings):
        return super()._init_transport(**settings)

    async def request(self, *given, **settings):
        """As for a log."""
        return await super().request(*given, **settings)


class Proxy:
    """What stands for another object and says that it is one of its class, as those of wrapt do."""

    def __init__(self, wrapped):
        object.__setattr__(self, "__wrapped__", wrapped)

    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)

    __class__ = property(lambda self: self.__wrapped__.__class__)

    def __copy__(self):
        raise NotImplementedError("object proxy must define __copy__()")


def test_what_only_looks_at_requests_and_replies_wants_no_name(monkeypatch):
    prepare = openai.AsyncOpenAI._prepare_request

    def traced(client, request):
        return prepare(client, request)

    monkeypatch.setattr(openai.AsyncOpenAI, "_prepare_request", traced)
    assert identity(kind=Traced) == identity(**http(event_hooks={"response": [hooked]})) == AT
    assert identity(http_client=openai.DefaultAioHttpClient()) == AT
    assert identity(http_client=TracedHttp()) == AT
    assert identity(kind=openai.AsyncAzureOpenAI, **AZURE, **http()) == identity(
        kind=openai.AzureOpenAI, **AZURE
    )


@pytest.mark.parametrize("kind", [openai.AsyncOpenAI, openai.OpenAI])
def test_a_client_within_the_proxies_of_a_tool_is_asked_and_found_as_itself(kind):
    df = pd.DataFrame({"text": ["one"]})
    pool = httpx2.AsyncClient if kind is openai.AsyncOpenAI else httpx2.Client
    with Server(answer="fine") as server:
        client = kind(base_url=server.base_url, api_key=server.key, http_client=Proxy(pool()))
        for given in (Proxy(Proxy(client)), client):
            out = df.llm.process(
                "{text}", "a", model=lp.Model("openai/m", client=given), progress=False
            )
            assert out["a"].tolist() == ["fine"]
        assert server.counters.total == 1
    with pytest.raises(ModelError, match="takes an openai client"):
        lp.Model("openai/m", client=Mock(spec=kind)).connect()


class Lazy:
    """The same as Django makes it, which makes the object when it is looked at."""

    def __init__(self, make):
        self.make = make

    def __getattr__(self, name):
        if name == "_wrapped":
            self._wrapped = self.make()
            return self._wrapped
        return getattr(self._wrapped, name)

    __class__ = property(lambda self: self._wrapped.__class__)


def test_a_client_that_a_proxy_makes_when_it_is_needed_is_found_as_itself():
    lazy = Lazy(lambda: openai.AsyncOpenAI(base_url=AT, api_key=KEY))
    assert lp.Model("openai/m", client=lazy).connect().identity == AT


def adding(name):
    return type("Adding", (Proxy,), {name: property(lambda self: getattr(self.__wrapped__, name))})


@pytest.mark.parametrize("scope", [None, "", "acme"])
@pytest.mark.parametrize("name", ["default_headers", "_prepare_options", "post", "api_key", "send"])
def test_a_proxy_that_shapes_requests_is_refused_and_not_left_out(name, scope):
    pool = httpx2.AsyncClient()
    http = adding(name)(pool) if name == "send" else pool
    client = openai.AsyncOpenAI(base_url=AT, api_key=KEY, http_client=http)
    given = client if name == "send" else Proxy(adding(name)(client))
    with pytest.raises(ModelError, match=rf"Adding.*own {name} would not be run.*event_hooks="):
        lp.Model("openai/m", client=given, scope=scope).connect()


def test_a_proxy_that_shows_parts_of_a_client_in_its_own_way_wants_no_name():
    client = openai.AsyncOpenAI(base_url=AT, api_key=KEY)
    assert lp.Model("openai/m", client=adding("chat")(client)).connect().identity == AT


BESIDE = {
    openai.AsyncAzureOpenAI: ("_configure_realtime", "_websocket_query_params"),
    openai.AsyncOpenAI: ("_serialize_multipartform", "copy"),
    httpx2.AsyncClient: ("_redirect_headers", "_set_timeout", "aclose"),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_what_no_question_comes_by_wants_no_name(kind):
    own = type("Own", (kind,), {name: getattr(kind, name, None) for name in BESIDE[kind]})
    if kind is httpx2.AsyncClient:
        assert identity(http_client=own()) == AT
    else:
        more = AZURE if kind is openai.AsyncAzureOpenAI else {}
        assert identity(kind=own, **more) == identity(kind=kind, **more)


class Single(openai.AsyncOpenAI):
    """A client that is there once in a process."""

    only = None

    def __new__(cls, **settings):
        cls.only = cls.only or super().__new__(cls)
        return cls.only


def test_a_client_that_is_there_once_stays_as_it_is():
    client = Single(base_url=AT, api_key=KEY, timeout=7)
    before = dict(vars(client))
    assert lp.Model("openai/m", client=client).connect().identity == AT
    assert vars(client) == before


def test_the_order_and_the_case_of_headers_are_nothing():
    one = identity(default_headers={"X-A": "1", "X-B": "2"})
    assert one == identity(default_headers={"x-b": "2", "x-a": "1"})


def test_a_token_or_a_key_for_azure_is_the_same_account():
    plain = {identity(kind=openai.AsyncAzureOpenAI, **AZURE, api_key=key) for key in ("1", "2")}
    plain.add(identity(kind=openai.AzureOpenAI, **AZURE, api_key=None, azure_ad_token=KEY))
    assert len(plain) == 1
    other = identity(kind=openai.AsyncAzureOpenAI, **AZURE, default_headers={"X-Tenant": "a"})
    assert other not in plain


def test_no_tenant_is_answered_with_the_answers_of_another():
    with Server(answer=lambda body: "fine", key=None) as server:
        df = pd.DataFrame({"text": ["one"]})

        def ask(tenant, key=KEY):
            client = openai.AsyncOpenAI(
                base_url=server.base_url, api_key=key, default_headers={"X-Tenant": tenant}
            )
            df.llm.process("{text}", "a", model=lp.Model("openai/m", client=client), progress=False)
            return server.counters.total

        assert [ask("a"), ask("b"), ask("a"), ask("b", KEY + "2")] == [1, 2, 2, 2]


def test_a_scope_is_a_part_of_the_model_and_travels_with_it():
    import copy
    import pickle

    model = lp.Model("openai/m", base_url=AT, scope="tenant a")
    assert repr(model) == f"Model('openai', 'm', base_url='{AT}', scope='tenant a')"
    assert pickle.loads(pickle.dumps(model)).scope == "tenant a"  # noqa: S301  (made just here)
    assert copy.copy(model).scope == copy.deepcopy(model).scope == "tenant a"
    seen = lp.Model("openai/m", base_url=AT, scope="")
    for made in (pickle.loads(pickle.dumps(seen)), copy.copy(seen), copy.deepcopy(seen)):  # noqa: S301
        assert made.scope == ""  # not None, which says nothing
    assert repr(seen).endswith("scope='')")
    with pytest.raises(ModelError, match="scope"):
        lp.Model("openai/m", scope=7)


def test_the_embedded_model_has_scopes_too(monkeypatch):
    from lionproc.model import local

    endpoint = local.Endpoint("http://127.0.0.1:9/v1", KEY, "m", "weights-1", 1, 4)
    monkeypatch.setattr(local, "start", lambda model: endpoint)
    assert lp.Model("local").connect().identity == "local weights-1"
    assert lp.Model("local", scope="a").connect().identity != "local weights-1"


def azure(server, key):
    address = server.base_url.removesuffix("/v1")
    return lp.Model("azure", model="m", base_url=f"{address}/openai/deployments/m", api_key=key)


@pytest.mark.parametrize("environment", ["quiet", "with headers of its own"])
def test_a_renewed_key_for_azure_pays_for_nothing_again(environment, monkeypatch):
    if environment != "quiet":  # then a client of openai is made, which says the same in its way
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: a")
    first, second = (
        lp.Model("azure", model="m", base_url="https://one.example", api_key=key)
        for key in (KEY, KEY + "2")
    )
    at = "https://one.example/openai/deployments/m"
    assert first.connect().identity == second.connect().identity == at


def test_what_older_journals_have_of_azure_is_found_and_not_paid_for_again(monkeypatch):
    from lionproc.model import opening

    df = pd.DataFrame({"text": ["one", "two"]})
    with Server(answer=lambda body: "fine", key=None) as server:
        model = azure(server, KEY)

        def ask(**more):
            df.llm.process("{text}", "a", model=model, progress=False, **more)
            return server.counters.total

        with monkeypatch.context() as before:
            before.setattr(opening, "identity_of", opening.former_identity_of)
            assert ask() == 2
        assert df.llm.estimate("{text}", "a", model=model).answered == 2
        assert ask() == 2
        pool = lp.Pool([model, azure(server, KEY + "2")])
        df.llm.process("{text}", "a", model=pool, progress=False)
        assert server.counters.total == 2
        runs = lp.runs()
        assert [lp.run(run).frame(df)["a"].tolist() for run in runs["run"]] == [["fine"] * 2] * 3
        model = azure(server, KEY + "2")
        assert ask() == 4  # of another key nothing was known then
        model = azure(server, KEY + "3")
        assert ask() == 4
