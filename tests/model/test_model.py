"""`Model`: where it goes, with which key, and what it refuses before anything is sent."""

import copy
import os
import pickle
import sys

import numpy as np
import openai
import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine import loop as engine_loop
from lionproc.errors import ConfigurationError, LimitsError, ModelError
from lionproc.model.defaults import default_model
from lionproc.model.providers import PROVIDERS
from lionproc.testing import Server

KEY = "sk-test-of-the-model-0123456789"
AT = "https://model.example/v1"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")) or name.endswith(
            ("_API_KEY", "_PROXY", "_proxy")
        ):
            monkeypatch.delenv(name)
    monkeypatch.delenv("LIONPROC_MODEL", raising=False)
    yield
    lp.configure(model=None, limits=None, chunk_size=None)


def ask(model=None):
    df = pd.DataFrame({"text": ["one"]})
    return df.llm.process("Say {text}", "a", model=model, journal=False, progress=False)


# --- naming a model -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "provider", "model"),
    [
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openrouter/meta-llama/llama-3", "openrouter", "meta-llama/llama-3"),
        ("ollama/qwen2.5:0.5b", "ollama", "qwen2.5:0.5b"),
        ("local", "local", None),
        ("local//x/y.gguf", "local", "/x/y.gguf"),
    ],
)
def test_the_short_form_is_a_provider_and_whatever_follows(short, provider, model):
    made = lp.Model(short)
    assert (made.provider, made.model) == (provider, model)
    assert lp.Model.of(short).model == model
    assert lp.Model.of(made) is made


def test_openai_alone_means_its_small_model():
    assert lp.Model("openai").model == lp.Model(provider="openai").model == "gpt-4o-mini"


def test_a_model_given_apart_may_have_slashes_in_its_name():
    assert lp.Model("openai", "Qwen/Qwen2.5-7B", base_url=AT).model == "Qwen/Qwen2.5-7B"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("gpt-4o-mini", 'for example "openai/gpt-4o-mini"'),
        ("claude-haiku-4-5", 'for example "anthropic/claude-haiku-4-5"'),
        ("gemini-3-flash", 'for example "gemini/gemini-3-flash"'),
        ("locl", "Did you mean 'local'?"),
    ],
)
def test_a_model_without_its_provider_is_answered_with_the_likely_one(written, says):
    with pytest.raises(ModelError, match="names no provider") as caught:
        lp.Model(written)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gpt-4o-mini",), '"openai/gpt-4o-mini"'),
        (("opnai/gpt-4o",), "Did you mean 'openai'"),
        (("acme", "m"), "base_url"),
        (("groq",), 'Model\\("groq/NAME"\\)'),
        (("openai/",), "Which model"),
        (("",), "provider"),
        ((7,), "int"),
        (("https://u:secret@host/v1", "m"), "base_url"),
        (("https://host/v1?key=secret",), "provider"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_the_way_on(arguments, words):
    with pytest.raises(ModelError, match=words) as caught:
        lp.Model(*arguments)
    assert "secret" not in str(caught.value)


def test_the_three_ways_to_set_a_model(monkeypatch):
    with pytest.raises(ModelError, match=r"(?s)model=.*lp\.configure.*LIONPROC_MODEL.*local"):
        ask()
    monkeypatch.setenv("LIONPROC_MODEL", "openai/from-environment")
    assert default_model(None).model == "from-environment"
    lp.configure(model="openai/from-session")
    assert default_model(None).model == "from-session"
    assert default_model("openai/from-call").model == "from-call"
    lp.configure(model=None)
    assert default_model(None).model == "from-environment"


def test_what_is_configured_is_used_by_a_run():
    with Server(answer="fine") as server:
        lp.configure(model=lp.Model("openai/m", base_url=server.base_url, api_key=server.key))
        assert ask()["a"].tolist() == ["fine"]


@pytest.mark.parametrize(
    ("defaults", "error", "words"),
    [
        ({"modle": "openai/m"}, ConfigurationError, "Did you mean 'model'"),
        ({"model": "nobody/m"}, ModelError, "nobody"),
        ({"model": 7}, ModelError, "int"),
        ({"limits": 600}, ConfigurationError, "lp.Limits"),
        ({"limits": {"requests_per_minute": -1}}, LimitsError, "requests_per_minute"),
        ({"retry": 3}, ConfigurationError, "lp.Retry"),
    ],
)
def test_configure_refuses_what_cannot_be_and_changes_nothing(defaults, error, words):
    lp.configure(model="openai/kept")
    with pytest.raises(error, match=words):
        lp.configure(chunk_size=7, **defaults)
    assert default_model(None).model == "kept"


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [n for n, p in PROVIDERS.items() if p.key_variable and n != "azure"]
)
def test_each_provider_takes_the_key_of_its_own_variable(monkeypatch, name):
    provider = PROVIDERS[name]
    with pytest.raises(ModelError, match=provider.key_variable):
        lp.Model(name, "m").connect()
    monkeypatch.setenv(provider.key_variable, f" {KEY}\n")
    connection = lp.Model(name, "m").connect()
    assert str(connection.wire._url.reveal()) == f"{provider.base_url}/chat/completions"
    assert connection.wire._headers.reveal()["Authorization"] == f"Bearer {KEY}"


def told(connection):
    wire = connection.wire
    return connection.identity, str(wire._url.reveal()), dict(wire._headers.reveal())


def test_an_address_and_a_key_need_no_client_of_openai_and_say_the_same(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    models = [lp.Model("openai/m", base_url=f"{AT}{end}", api_key=KEY) for end in ("", "/", "/é b")]
    models.append(lp.Model("openai/m", base_url="https://bücher.example/v1", scope="mine"))
    at_azure = ("https://x.openai.azure.com", "https://x.openai.azure.com/openai/v1", AT)
    models += [lp.Model("azure", "d", base_url=url, api_key=KEY) for url in at_azure]
    for name, provider in PROVIDERS.items():
        if name not in {"azure", "local"}:
            monkeypatch.setenv(provider.key_variable or "NOTHING", KEY)
            models.append(lp.Model(name, "m"))
    with monkeypatch.context() as patch:
        patch.setenv("OPENAI_LOG", "")  # what is not known here is left to a client
        made = [told(model.connect()) for model in models]
    monkeypatch.setitem(sys.modules, "openai", None)  # from now on it cannot be imported
    assert [told(model.connect()) for model in models] == made
    with Server(answer="fine") as server:
        model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)
        assert ask(model)["a"].tolist() == ["fine"]


def sent_with(model):
    with Server(answer="fine", key=None) as server:
        ask(model(server.base_url))
        (sent,) = server.requests
    return sent


ENVIRONMENT = {
    "OPENAI_API_KEY": "canary-openai-key",
    "OPENAI_ADMIN_KEY": "canary-admin-key",
    "OPENAI_ORG_ID": "canary-org",
    "OPENAI_PROJECT_ID": "canary-project",
    "OPENAI_CUSTOM_HEADERS": (
        "X-Gateway: canary-gateway\nAuthorization: Bearer canary-custom\napi-key: canary-api-key"
    ),
    "AZURE_OPENAI_API_KEY": "canary-azure-key",
    "AZURE_OPENAI_AD_TOKEN": "canary-azure-token",
    "AZURE_OPENAI_ENDPOINT": "https://mine.example",
    "GROQ_API_KEY": "canary-groq-key",
}


@pytest.mark.parametrize("provider", ["openai", "groq", "ollama", "vllm", "azure"])
@pytest.mark.parametrize("own_key", [None, "sk-of-this-address"])
def test_nothing_of_the_environment_is_sent_to_another_address(monkeypatch, provider, own_key):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def model(base_url):
        if provider == "azure":
            base_url = base_url.removesuffix("/v1")
        return lp.Model(provider, "m", base_url=base_url, api_key=own_key)

    if provider == "azure" and own_key is None:
        with pytest.raises(ModelError, match="AZURE_OPENAI_API_KEY"):
            model("http://127.0.0.1:9/v1").connect()
        return
    sent = sent_with(model)
    assert b"canary" not in sent.raw_head
    if own_key:
        assert own_key.encode() in sent.raw_head


def test_openai_itself_gets_the_organization_and_headers_of_the_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, ENVIRONMENT[name])
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: yes")

    def model(base_url):
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        return lp.Model("openai/m")

    headers = sent_with(model).headers
    assert headers["authorization"] == "Bearer canary-openai-key"
    assert headers["openai-organization"] == "canary-org"
    assert headers["openai-project"] == "canary-project"
    assert headers["x-gateway"] == "yes"


def test_azure_takes_its_key_and_address_from_its_variables(monkeypatch):
    with Server(answer="fine", key=KEY) as server:
        endpoint = server.base_url.removesuffix("/v1")
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", endpoint + "/")
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
        assert ask("azure/dep")["a"].tolist() == ["fine"]
        assert ask(lp.Model("azure", "dep", base_url=endpoint))["a"].tolist() == ["fine"]
        path = server.requests[0].path
    assert path == "/openai/deployments/dep/chat/completions?api-version=2024-10-21"


def test_a_key_for_azure_in_the_environment_goes_to_its_endpoint_alone_and_it_is_said(monkeypatch):
    elsewhere = lp.Model("azure", "dep", base_url=f"{AT}/openai/v1")
    with pytest.raises(ModelError, match=r"needs its endpoint and key.*base_url=\.\.\., api_key="):
        elsewhere.connect()
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    with pytest.raises(
        ModelError, match=r"AZURE_OPENAI_ENDPOINT alone, which is not set: .* api_key="
    ):
        elsewhere.connect()
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.example")
    with pytest.raises(ModelError, match="alone, and base_url= is another one"):
        elsewhere.connect()


def test_a_key_of_a_function_is_renewed_for_every_request():
    with Server(answer="fine") as server:

        async def renewed():
            return server.key

        client = openai.AsyncOpenAI(base_url=server.base_url, api_key=renewed)
        assert ask(lp.Model("openai/m", client=client))["a"].tolist() == ["fine"]
        engine_loop.submit(client.close()).result(10)


@pytest.mark.parametrize("key", ["sk-\n2", "sk 2", "sk-abc…xyz", "sk-\x00", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(monkeypatch, key):
    with pytest.raises(ModelError, match="api_key has a character") as caught:
        lp.Model("openai/m", api_key=key)
    assert key not in str(caught.value)
    if "\0" not in key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(ModelError, match="OPENAI_API_KEY has a character") as caught:
            lp.Model("openai/m").connect()
        assert key not in str(caught.value)


def test_a_key_from_a_file_may_end_in_a_line_break():
    with Server(answer="fine") as server:
        model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key + "\n")
        assert ask(model)["a"].tolist() == ["fine"]


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [300, 5000])
def test_a_field_that_nests_deeper_than_can_be_written_is_refused_in_a_sentence(levels):
    nested = []
    for _ in range(levels):
        nested = [nested]
    with pytest.raises(ModelError, match="cannot be written as JSON"):
        lp.Model("openai/m", base_url=AT, api_key=KEY, data_sources=nested)


@pytest.mark.parametrize("endings", [5, "done", b"done", [1], None])
def test_endings_that_are_no_list_of_words_are_refused_in_a_sentence(endings):
    with pytest.raises(ModelError, match="endings is a list of words"):
        lp.Model("openai/m", api_key=KEY, endings=endings)


@pytest.mark.parametrize(
    "url",
    [
        "http://model.example/v1",
        "http://192.168.1.5:8000/v1",
        "http://127.0.0.1.evil.example/v1",
        "http://localhost.evil.example/v1",
        "http://0.0.0.0:8000/v1",
    ],
)
def test_plain_http_beyond_this_machine_needs_to_be_asked_for(url):
    with pytest.raises(ModelError, match="allow_http=True"):
        lp.Model("openai/m", base_url=url, api_key=KEY)
    assert lp.Model("openai/m", base_url=url, api_key=KEY, allow_http=True).base_url == url
    client = openai.AsyncOpenAI(base_url=url, api_key=KEY)
    with pytest.raises(ModelError, match="unencrypted"):
        lp.Model("openai/m", client=client).connect()
    lp.Model("openai/m", client=client, allow_http=True).connect()


def test_plain_http_of_the_environment_is_refused_too(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://model.example/v1")
    with pytest.raises(ModelError, match="unencrypted"):
        lp.Model("openai/m").connect()


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/v1", "http://127.8.8.8/v1", "http://localhost/v1", "http://[::1]:8/v1"],
)
def test_plain_http_on_this_machine_is_fine(url):
    assert lp.Model("openai/m", base_url=url + "/").base_url == url


@pytest.mark.parametrize(
    "url",
    [
        *("model.example/v1", "ftp://model.example", "https://", "https://[::1", "file:///etc"),
        *("x" * 9, "https://model.example%2f.localhost/v1", "https://model.example;x"),
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ModelError, match="https://host/v1"):
        lp.Model("openai/m", base_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@model.example/v1",
        "https://hunter2@model.example",
        "me:hunter2@model.example",
        "https://me:1/hunter2@model.example",
    ],
)
def test_an_address_with_a_password_is_refused_without_being_shown(url):
    with pytest.raises(ModelError, match="user name or password") as caught:
        lp.Model("openai/m", base_url=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://model.example/models/one@001", "http://localhost:8000/models/one@001"]
)
def test_an_at_sign_in_the_path_is_no_password(url):
    assert lp.Model("openai/m", base_url=url).base_url == url


def test_a_host_in_any_script_is_an_address():
    url = "https://\u0909\u0926\u093e\u0939\u0930\u0923.example/v1"
    assert lp.Model("openai/m", base_url=url, api_key="k").connect()


@pytest.mark.parametrize("url", ["https://model.example/v1?key=1", "https://model.example/v1#x"])
def test_an_address_ends_before_its_query(url):
    with pytest.raises(ModelError, match="default_query"):
        lp.Model("openai/m", base_url=url)


# --- arguments that exclude each other or cannot be ------------------------------------------------


def test_a_client_comes_with_its_own_address_and_key():
    client = openai.AsyncOpenAI(base_url=AT, api_key=KEY)
    for more in ({"base_url": AT}, {"api_key": KEY}):
        with pytest.raises(ModelError, match=f"leave {next(iter(more))}= out"):
            lp.Model("openai/m", client=client, **more)


@pytest.mark.parametrize("more", [{"base_url": AT}, {"api_key": KEY}])
def test_the_embedded_model_takes_no_address_and_no_key(more):
    with pytest.raises(ModelError, match="embedded model"):
        lp.Model("local", **more)


def test_only_a_client_of_openai_will_do():
    for client in (object(), "client"):
        with pytest.raises(ModelError, match=r"openai\.AsyncOpenAI"):
            lp.Model("openai/m", client=client).connect()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "whole number"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": "60"}, "timeout"),
        ({"structured": "yaml"}, "structured"),
        ({"messages": []}, "messages"),
        ({"stream": True}, "stream"),
        ({"n": 2}, "n"),
        ({"extra_headers": {"X-Key": KEY}}, "default_headers"),
        ({"default_headers": {"X-Key": KEY}}, "default_headers"),
        ({"headers": {"X-Key": KEY}}, "default_headers"),
        ({"default_query": {"code": KEY}}, "default_query"),
        ({"authorization": "Bearer a-short-one"}, "api_key"),
        ({"extra_body": {"seed": 1}}, "directly"),
        ({"seed": np.int64(3)}, "seed.*int64"),
        ({"top_p": float("nan")}, "top_p"),
        ({"user": object()}, "user.*object"),
        ({"logit_bias": {50256: -100}}, "logit_bias.*dict"),
        ({"seed": 2**70}, "seed.*int"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"api_key": b"sk-bytes"}, "api_key is a text, not bytes"),
    ],
)
def test_what_cannot_be_sent_is_refused_when_the_model_is_made(more, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        lp.Model("openai/m", base_url=AT, **more)
    assert KEY not in str(caught.value)


# --- copies -------------------------------------------------------------------------------------


def test_a_copy_in_this_process_has_the_key_and_one_that_travels_has_not():
    model = lp.Model("openai/m", base_url=AT, api_key=KEY, temperature=0.5, seed=3)
    for twin in (copy.copy(model), copy.deepcopy(model)):
        assert twin.connect().wire._headers.reveal()["Authorization"] == f"Bearer {KEY}"
        assert repr(twin) == repr(model)
    pickled = pickle.dumps(model)
    assert KEY.encode() not in pickled
    travelled = pickle.loads(pickled)  # noqa: S301  (made a line above)
    assert repr(travelled) == repr(model)
    assert travelled.connect().wire._headers.reveal()["Authorization"] == "Bearer none"


def test_a_model_with_a_client_does_not_travel_to_send_rows_elsewhere():
    model = lp.Model("openai/m", client=openai.AsyncOpenAI(base_url=AT, api_key=KEY))
    with pytest.raises(TypeError, match="base_url="):
        pickle.dumps(model)
    assert copy.copy(model).client is model.client


def test_a_model_with_an_executor_does_not_travel_to_send_rows_without_its_limits():
    executor = lp.RateLimitedAPIExecutor(limit_requests=60)
    for thing in (lp.Model("openai/m", base_url=AT, api_key=KEY, executor=executor), executor):
        with pytest.raises(TypeError, match=r"in each process|where it is used"):
            pickle.dumps(thing)


def test_the_bound_on_the_answer_has_the_name_that_the_address_knows(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert lp.Model("openai/m").connect().max_tokens_name == "max_completion_tokens"
    client = openai.AsyncOpenAI(api_key=KEY)
    assert lp.Model("openai/m", client=client).connect().max_tokens_name == "max_completion_tokens"
    assert lp.Model("openai/m", base_url=AT).connect().max_tokens_name == "max_tokens"


def test_models_with_the_same_address_key_and_name_share_a_limiter():
    one, two = (lp.Model("openai/m", base_url=AT, api_key=KEY, seed=n) for n in (1, 2))
    assert one.limiter is two.limiter
    for other in (
        lp.Model("openai/m", base_url=AT, api_key=KEY + "2"),
        lp.Model("openai/m2", base_url=AT, api_key=KEY),
        lp.Model("openai/m", base_url=AT + "/x", api_key=KEY),
    ):
        assert other.limiter is not one.limiter


@pytest.mark.parametrize(
    "address", ["{}", "host/v1?key={}", "host/{}/v1", "host#{}", "ftp://host?a=1&code={}"]
)
def test_an_address_that_is_none_is_named_without_the_key_in_it(address):
    with pytest.raises(ModelError, match="address") as caught:
        lp.Model("openai", "m", base_url=address.format(KEY))
    assert KEY not in str(caught.value)
