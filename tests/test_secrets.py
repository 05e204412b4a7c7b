"""A key goes to its server and nowhere else, also when the server sends it back."""

import ast
import asyncio
import base64
import contextlib
import copy
import html
import json
import logging
import os
import pickle
import re
import socket
import sqlite3
import stat
import threading
import traceback
import warnings
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx2
import openai
import orjson
import pandas as pd
import pyarrow.parquet as pq
import pydantic
import pytest

import lionproc as lp
from lionproc.engine import loop as engine_loop
from lionproc.engine.journal import Journal
from lionproc.errors import (
    AccessError,
    CallError,
    Kind,
    LionprocError,
    ModelError,
    RowsFailedError,
    RowsFailedWarning,
)
from lionproc.frame.plan import Plan
from lionproc.model import escapes, local
from lionproc.model.body import parsed
from lionproc.model.chat_completion import classify
from lionproc.model.connection import EndpointState
from lionproc.model.credentials import Secret, _spelling, hidden, sealed
from lionproc.model.excerpt import shown
from lionproc.model.sent_secrets import secrets_in
from lionproc.model.wire import way_to
from lionproc.testing import Server

CANARY = "sk-canary/DO+NOT/leak-4f9a81c27be0"
SPELLINGS = (CANARY, CANARY.replace("/", "\\/"))
PACKAGE = Path(lp.__file__).parent


@pytest.fixture(autouse=True)
def private_home(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIONPROC_HOME", raising=False)
    for name in list(os.environ):
        if name.startswith("OPENAI_") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def server():
    """Knows the canary, and says it in every answer."""
    said = f"Your key is {CANARY}, or Bearer {CANARY}."
    with Server(answer=said, key=CANARY) as made:
        yield made


WIRES = ("direct", "plain_client", "http_client", "renewed", "azure", "header")


@pytest.fixture(params=WIRES)
def model(request, server):
    """A model that sends the canary, in each way there is to have it."""
    http = httpx2.AsyncClient()
    kept = {"base_url": server.base_url}

    async def renewed():
        return CANARY

    match request.param:
        case "direct":
            made = lp.Model("openai/m", api_key=CANARY, **kept)
        case "plain_client":
            made = lp.Model("openai/m", client=openai.AsyncOpenAI(api_key=CANARY, **kept))
        case "http_client":
            client = openai.AsyncOpenAI(api_key=CANARY, http_client=http, **kept)
            made = lp.Model("openai/m", client=client)
        case "renewed":
            client = openai.AsyncOpenAI(api_key=renewed, http_client=http, **kept)
            made = lp.Model("openai/m", client=client)
        case "azure":
            client = openai.AsyncAzureOpenAI(
                azure_endpoint=server.base_url.removesuffix("/v1"),
                azure_ad_token=CANARY,
                api_version="1",
                http_client=http,
            )
            made = lp.Model("openai/m", client=client)
        case _:
            headers = {"Authorization": f"Bearer {CANARY}", "X-Gateway-Token": CANARY}
            client = openai.AsyncOpenAI(api_key="unused-key", default_headers=headers, **kept)
            made = lp.Model("openai/m", client=client)
    yield made

    async def close():
        await http.aclose()

    engine_loop.submit(close()).result(10)


def spelt(data):
    """Whether the canary is in this, in any spelling."""
    if isinstance(data, bytes):
        return any(word.encode() in data for word in SPELLINGS)
    return any(word in str(data) for word in SPELLINGS)


def files(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def ask(model, rows=4, **more):
    df = pd.DataFrame({"text": [f"row {n}" for n in range(rows)]})
    arguments = {"into": "a", "progress": False, "retry": lp.Retry(base_s=0.01), **more}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        out = df.llm.process("Say {text}", model=model, **arguments)
    return out, [str(warning.message) for warning in said]


# --- what a run leaves behind -------------------------------------------------------------------


def test_an_echoed_key_is_in_no_file_log_warning_or_cell(model, server, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "aiohttp", "httpx2", "httpcore2", "lionproc", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    server.configure(faults=[None, "echo_key", None, "echo_key"])
    out, said = ask(model, details=True, save=tmp_path / "out.parquet", limits={"concurrency": 1})
    assert out["a_status"].tolist() == ["answered", "failed", "answered", "failed"]
    assert "[key]" in out["a"].iloc[0]
    assert "[key]" in out["a_error"].iloc[1]
    assert any("no answer" in text for text in said)
    saved = pq.read_table(tmp_path / "out.parquet")
    shown = [
        *(out.to_string(), out.to_csv(), out._repr_html_(), out.llm.errors().to_string()),
        *(repr(out.llm.report()), out.llm.report()._repr_html_(), str(out.attrs)),
        *(str(saved.to_pydict()), str(saved.schema.metadata), str(lp.read_facts("out.parquet"))),
        *said,
    ]
    for text in shown:
        assert not spelt(text)
    assert not spelt(caplog.text)
    assert not any(spelt(str(record.__dict__)) for record in caplog.records)
    assert not any(map(spelt, capfd.readouterr()))
    found = files(tmp_path)
    assert any(path.name.endswith(".sqlite") for path in found)
    assert not any(spelt(data) or spelt(str(path)) for path, data in found.items())


def test_an_echoed_key_is_not_in_the_journal_while_it_is_open_either(server, tmp_path):
    """The write-ahead log too, before anything is checkpointed away."""
    made = lp.Model("openai/m", base_url=server.base_url, api_key=CANARY)
    server.configure(faults=[None] * 5 + ["echo_key"] * 2)
    df = pd.DataFrame({"text": [f"row {n}" for n in range(8)]})
    limits = {"concurrency": 1}
    job = df.llm.start("{text}", "a", model=made, progress=False, limits=limits, retry=lp.Retry())
    server.wait_for(lambda counters: counters.total >= 7)
    server.hold()
    try:
        found = files(tmp_path)
        assert any(path.name.endswith("-wal") for path in found)
        assert not any(map(spelt, found.values()))
    finally:
        server.release()
    with pytest.warns(RowsFailedWarning):
        job.result(20)
    with contextlib.closing(Journal.open(None)):
        path = next(path for path in files(tmp_path) if path.name.endswith(".sqlite"))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT * FROM record").fetchall()
    assert len(rows) >= 8
    assert b"[key]" in b"".join(value for row in rows for value in row if isinstance(value, bytes))
    assert not spelt(str(rows))


PHRASE = 'p+a/s=s"w&o<r>d 4f9a81'
SPELT = {
    "as it is": lambda secret: secret,
    "json": lambda secret: json.dumps(secret)[1:-1],
    "slashes": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "net": lambda secret: "".join(net(letter) for letter in secret),
    "net, lower": lambda secret: re.sub(
        r"u00[0-9A-F]{2}", lambda found: found[0].lower(), "".join(map(net, secret))
    ),
    "json in json": lambda secret: json.dumps("".join(map(net, secret)))[1:-1],
    "url": lambda secret: quote(secret, safe=""),
    "url, lower": lambda secret: quote(secret, safe="").replace("%2F", "%2f"),
    "form": quote_plus,
    "url twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "html": lambda secret: html.escape(secret).replace('"', "&quot;"),
    "html numbers": lambda secret: "".join(
        letter if letter.isalnum() or letter in "-_." else f"&#{ord(letter)};" for letter in secret
    ),
    "html hex": lambda secret: "".join(
        letter if letter.isalnum() or letter in "-_." else f"&#x{ord(letter):X};"
        for letter in secret
    ),
}


def net(letter):
    """A letter as .NET and others write it in JSON."""
    return letter if letter.isalnum() or letter in "-_." else f"\\u{ord(letter):04X}"


@pytest.mark.parametrize("spelling", SPELT)
@pytest.mark.parametrize("secret", [CANARY, PHRASE, "dXNlcjpwYXNzd29yZA=="])
def test_a_secret_is_found_in_whatever_spelling_a_server_has(spelling, secret):
    body = f'{{"content":"It is {SPELT[spelling](secret)}."}}'.encode()
    assert hidden(200, body, [secret]) == b'{"content":"It is [key]."}'


NEEDLESS = {
    "json": lambda secret: "".join(f"\\u{ord(letter):04x}" for letter in secret),
    "json in json": lambda secret: "".join(f"\\\\u{ord(letter):04X}" for letter in secret),
    "url": lambda secret: "".join(f"%{ord(letter):02x}" for letter in secret),
    "html": lambda secret: "".join(f"&#{ord(letter)};" for letter in secret),
    "html hex": lambda secret: "".join(f"&#x{ord(letter):x};" for letter in secret),
    "two bytes a letter": lambda secret: json.dumps(secret.encode("utf-16-le").decode())[1:-1],
    "invisible": "\u200b".join,
    "invisible in json": lambda secret: json.dumps("\u2060".join(secret))[1:-1],
    "soft hyphens": "\u00ad".join,
    "tags": "\U000e0001".join,
    "tags in json": lambda secret: json.dumps("\U000e0001".join(secret))[1:-1],
    "controls in json in json": lambda secret: json.dumps(json.dumps("\x1b".join(secret)))[3:-3],
    "backspaces": lambda secret: json.dumps("\b".join(secret))[1:-1],
    "backspaces in json in json": lambda secret: json.dumps(json.dumps("\b".join(secret)))[3:-3],
    "deletions": "\x7f".join,
    "deletions in json": "\\u007f".join,
    "deletions in json in json": "\\\\u007F".join,
}
UNSEEN = list(NEEDLESS)[list(NEEDLESS).index("invisible") :]


@pytest.mark.parametrize("spelling", NEEDLESS)
@pytest.mark.parametrize("secret", [CANARY, PHRASE, "4f9a81c20d7e4b6f9a0c1d2e3f405162"])
def test_a_secret_is_found_in_an_error_where_letters_have_escapes_that_need_none(spelling, secret):
    body = f'{{"error":"It is {NEEDLESS[spelling](secret)}."}}'.encode()
    assert hidden(401, body, [secret]) == b'{"error":"It is [key]."}'
    if spelling.startswith("json") or spelling in UNSEEN:  # an answer is quoted in errors
        assert hidden(200, body, [secret]) == b'{"error":"It is [key]."}'
    for status in (200, 401):
        assert hidden(status, body, ["another-one-0123456789"]) == body


@pytest.mark.parametrize("before", [{}, {"more": ["x" * 100] * 10_000}])
def test_a_secret_with_escapes_is_found_in_a_long_error_too(before):
    said = {**before, "error": {"message": f"It is {CANARY}.", "more": "x" * 300_000}}
    body = json.dumps(said).replace(CANARY, f"\\u{ord(CANARY[0]):04x}{CANARY[1:]}").encode()
    came = hidden(401, body, [CANARY])
    assert CANARY[1:].encode() not in came
    if not before:
        assert json.loads(came)["error"]["message"] == "It is [key]."


def test_an_error_of_lists_in_lists_for_megabytes_is_not_read_to_be_shown(monkeypatch):
    body = b"[" + b"[[]]," * 1_000_000 + b"NaN]"
    error = json.dumps({"error": {"message": body.decode()}}).encode()
    read = []
    monkeypatch.setattr(escapes, "leniently_read", lambda text: read.append(len(text)) or {"a": 1})
    assert len(escapes.without_escapes(body, answers=False)) == escapes.LONG
    assert not read
    monkeypatch.setattr(
        escapes, "leniently_read", lambda text: read.append(text) or json.loads(text)
    )
    assert len(escapes.without_escapes(error, answers=False)) < escapes.LONG
    assert read == [error]  # and not the text within it


def handed_on(error):
    return {"error": {"message": "Provider returned error", "metadata": {"raw": json.dumps(error)}}}


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, {"message": "maximum context length"}, Kind.CONTEXT_LENGTH),
        (400, {"message": "no", "code": "invalid_api_key"}, Kind.ACCESS),
        (429, {"message": "no", "type": "insufficient_quota"}, Kind.QUOTA),
    ],
)
@pytest.mark.parametrize("place", ["behind texts", "behind a text within", "handed on", "a fault"])
def test_a_long_error_with_escapes_is_what_it_says_however_much_it_quotes_before(
    status, said, kind, place
):
    quoted = ["<b>" + "x" * 7000] * 60
    error = {
        "behind texts": {"request": quoted, "error": said},
        "behind a text within": {"error": {"input": {"text": quoted}, **said}},
        "handed on": handed_on({"request": quoted, "error": said}),
        "a fault": {"detail": {"input": quoted, **said}},
    }[place]
    body = json.dumps(error).replace("<", "\\u003c").encode()
    came = hidden(status, body, [CANARY])
    assert len(came) < len(body) / 10
    assert classify(status, {}, came).error.kind is kind


CUT = {
    "half a character": r'"so it \ud83d"',
    "a whole one behind a backslash": r'"\\\ud83d\ude00 \ude00"',
    "NaN": "[NaN, -Infinity]",
    "a long number": "9" * 400,
    "a byte that was cut": '"\udce2"',
}


@pytest.mark.parametrize("odd", CUT)
@pytest.mark.parametrize("filler", ["", "x" * 300_000])
def test_an_error_is_what_it_says_whatever_a_gateway_cut_from_what_it_quotes(odd, filler):
    body = (
        rf'{{"input": "\u003cb {filler}", "odd": {CUT[odd]}, '
        rf'"error": {{"message": "maximum c\u006fntext of {CANARY}"}}}}'
    )
    came = hidden(400, body.encode(errors="surrogateescape"), [CANARY])
    error = classify(400, {}, came).error
    assert error.kind is Kind.CONTEXT_LENGTH
    assert "maximum context of [key]" in error.message


@pytest.mark.parametrize("form", ["a text", "JSON", "JSON in a fence", "JSON behind thoughts"])
@pytest.mark.parametrize("beside", ["", "NaN", r'"\ud800"'])
def test_a_secret_with_escapes_is_found_in_a_long_answer_too(form, beside):
    content = CANARY + "x" * 300_000
    if form != "a text":
        content = json.dumps({"said": content}).replace(CANARY[0], f"\\u{ord(CANARY[0]):04x}", 1)
        content = f"```json\n{content}\n```" if "fence" in form else content
        content = f"<think>Hm.</think>{content}" if "thoughts" in form else content
    body = json.dumps({"choices": [{"message": {"content": content}}]})
    body = body.replace(CANARY, f"\\u{ord(CANARY[0]):04x}{CANARY[1:]}").encode()
    if beside:
        body = b'{"more":' + beside.encode() + b"," + body[1:]
    assert CANARY.encode() not in body
    came = parsed(hidden(200, body, [CANARY]))["choices"][0]["message"]["content"]
    assert "[key]xxx" in came
    assert CANARY[1:] not in came


def test_a_key_with_something_invisible_between_its_letters_is_not_shown():
    assert shown("It is " + "\u200b".join("sk-abcdefgh1234")) == "It is [key]"


def in_events(pieces):
    events = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


def in_parts(pieces):
    parts = [{"type": "text", "text": piece} for piece in pieces]
    return json.dumps({"choices": [{"message": {"content": parts}}]}).encode()


def in_texts(pieces):
    return json.dumps({"choices": [{"message": {"content": pieces}}]}).encode()


def in_texts_and_parts(pieces):
    content = [{"type": "text", "text": pieces[0]}, *pieces[1:-1], {"text": pieces[-1]}]
    return json.dumps({"choices": [{"message": {"content": content}}]}).encode()


def in_texts_far_apart(pieces):
    return in_texts(pieces).replace(b"[", b"[" + b" " * 12).replace(b",", b" " * 12 + b",")


def in_parts_of_another_spelling(pieces):
    return in_parts(pieces).replace(b'"text"', b'"te\\u0078t"')


def in_texts_with_escapes(pieces):
    return in_texts([pieces[0][:1] + pieces[0][1:], *pieces[1:]]).replace(
        pieces[0].encode(), f"\\u{ord(pieces[0][0]):04x}{pieces[0][1:]}".encode()
    )


def in_texts_under_a_name_with_escapes(pieces):
    return in_texts(pieces).replace(b'"content"', b'"c\\u006Fntent"')


def in_a_part_and_texts(pieces):
    content = [{"type": "text", "text": pieces[0]}, *pieces[1:]]
    return json.dumps({"choices": [{"message": {"content": content}}]}).encode()


@pytest.mark.parametrize(
    "written",
    [
        in_events,
        in_parts,
        in_texts,
        in_texts_and_parts,
        in_a_part_and_texts,
        in_texts_far_apart,
        in_parts_of_another_spelling,
        in_texts_with_escapes,
        in_texts_under_a_name_with_escapes,
    ],
)
@pytest.mark.parametrize("secret", [CANARY, PHRASE])
def test_a_secret_that_comes_in_pieces_of_an_answer_is_taken_out_of_the_whole(written, secret):
    came = hidden(200, written(["It is ", secret[:4], secret[4:11], secret[11:], "."]), [secret])
    assert parsed(came)["choices"][0]["message"]["content"] == "It is [key]."
    assert secret[4:11].encode() not in came
    assert parsed(hidden(200, written(["It is ", "fine."]), [secret])) != parsed(came)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_reply_whose_text_is_one_is_not_read_to_look_for_its_pieces(monkeypatch, separators):
    """It would be read twice for nothing, on the loop that all share."""
    token = {"token": "It", "bytes": [73, 116], "top_logprobs": [{"token": "\\n"}, {"token": '"'}]}
    choice = {
        "message": {"content": 'It is <b>: {"content": ["a", {"text": "b"}]}', "said": ["a", {}]},
        "logprobs": {"content": [token, token]},
    }
    body = json.dumps({"choices": [choice], "sources": ["a", "b"]}, separators=separators)
    as_some_write_it = body.replace("<", "\\u003c").encode()
    read = []
    monkeypatch.setattr("lionproc.model.body.parsed", read.append)
    assert hidden(200, as_some_write_it, [CANARY]) == as_some_write_it
    assert read == []


@pytest.mark.parametrize("before", [b"", b"\n" * 100, "\ufeff".encode(), b": wait\n\n"])
@pytest.mark.parametrize("secrets", [[], [CANARY]], ids=["no key", "a key"])
def test_a_stream_is_read_once_and_kept_as_the_completion_that_it_makes(before, secrets):
    stream = before + in_events(["It is ", CANARY[:7], CANARY[7:], "."])
    came = hidden(200, stream, secrets)
    said = f"It is {CANARY if not secrets else '[key]'}."
    assert orjson.loads(came)["choices"][0]["message"]["content"] == said


@pytest.mark.parametrize("before", [b"", b"\n" * 100, b" "])
def test_a_plain_reply_stays_as_it_is_byte_for_byte(before):
    plain = before + b'{"choices": [ {"message": {"content": "fine"}} ]}'
    assert hidden(200, plain, [CANARY]) == plain


def test_what_is_no_secret_stays():
    body = b'{"content":"sk-canary/DO+NOT, \\u002B \\/ %2F &amp; \\\\"}'
    assert hidden(200, body, [CANARY, PHRASE]) == body


@pytest.mark.parametrize(
    "hard",
    [
        *(b"\\", b"%25", b"&#", b"&#0", b"p", b"p\\", b"s%25", b"+", b" "),
        *(b"s\xc2\xad", b"\xc2\xad", b"/\\u00ad", b"\\u002f", b"\\u00ad\\", b"\\b", b"+\\b\x7f"),
    ],
)
def test_a_search_for_secrets_takes_no_longer_in_hard_replies(hard):
    """Every repetition in the patterns has an end, so the work is what the length is."""
    for secret in (PHRASE, "//++==&&<>" * 3, " " * 20):
        pattern = _spelling(secret)
        assert b"*" not in re.sub(rb"\\.", b"", pattern.pattern)
        assert re.search(rb"\\\\\+|\)\+|\{\d+,\}", pattern.pattern) is None
        hidden(200, hard * 100_000, [secret])


SENT = {
    "query": {"default_query": {"code": CANARY}},
    "token": {"default_headers": {"Authorization": f'Token token="{CANARY}", id=5'}},
    "password": {"default_headers": {"X-Password": CANARY}},
    "cookie": {"default_headers": {"Cookie": f"theme=dark; sid={CANARY}; last=1"}},
    "unnamed": {"default_headers": {"X-Gateway": CANARY}},
    "basic": {
        "default_headers": {
            "Authorization": "Basic " + base64.b64encode(f"user:{CANARY}".encode()).decode()
        }
    },
}
SENT_BY_HTTP = {
    "params": {"params": {"key": CANARY}},
    "headers": {"headers": {"X-Api-Secret": CANARY}},
    "cookies": {"cookies": {"sid": CANARY}},
    "auth": {"auth": ("user", CANARY)},
}


@pytest.mark.parametrize("way", [*SENT, *SENT_BY_HTTP])
def test_all_that_a_client_sends_is_taken_out_of_what_comes_back(way, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    settings = dict(SENT.get(way, {}))
    if way in SENT_BY_HTTP:
        settings["http_client"] = httpx2.AsyncClient(**SENT_BY_HTTP[way])
    told = [SPELT[name](CANARY) for name in ("as it is", "net", "url")]
    body = {"choices": [{"message": {"content": " ".join(told)}, "finish_reason": "stop"}]}
    raw = json.dumps(body).encode().replace(b"\\\\u", b"\\u")
    with Said(raw) as server:
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key="none", **settings)
        out, _ = ask(lp.Model("openai/m", client=client), rows=1)
    assert out["a"].tolist() == ["[key] [key] [key]"]
    assert not any(map(spelt, files(tmp_path).values()))
    logged = [caplog.text, *(str(record.__dict__) for record in caplog.records)]
    assert not any(CANARY[-12:] in text for text in logged)  # httpx tells addresses, escaped


async def asked_of_a_service(model):
    async with lp.ProcessingService("S", "requests", None, None, model=model) as service:
        return await service.process_data("a text")


@pytest.mark.parametrize("face", ["frame", "service"])
@pytest.mark.parametrize("made", ["pool", "fallback", "pool in a fallback"])
@pytest.mark.parametrize("way", ["direct", "client", "body"])
def test_what_another_member_is_sent_is_taken_out_too(made, way, face, tmp_path):
    """Where they are keys of one gateway, that knows them all."""
    said = f"Not for {CANARY}, nor for {CANARY}-2."
    body = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
    with Said(json.dumps(body).encode()) as server:
        at = {"base_url": server.base_url}
        client = openai.AsyncOpenAI(api_key=CANARY, http_client=httpx2.AsyncClient(), **at)
        key = {
            "direct": {"api_key": CANARY, **at},
            "client": {"client": client},
            "body": {"api_key": "ours-4f9a81c27be0", "metadata": {"api_key": CANARY}, **at},
        }[way]
        like = {"metadata": {"api_key": "theirs-4f9a81c27be0"}} if way == "body" else {}
        models = [
            lp.Model("openai/m", api_key="mine-4f9a81c27be0", **{**like, **at}),
            lp.Model("openai/m", **key),
        ]
        other = lp.Model("openai/m", api_key=f"{CANARY}-2", **{**like, **at})
        if made == "pool in a fallback":
            model = lp.Fallback([models[0], lp.Pool([models[1], other])])
        else:
            model = (lp.Pool if made == "pool" else lp.Fallback)([*models, other])
        if face == "frame":
            answers = ask(model, rows=2)[0]["a"].tolist()
        else:
            answers = [asyncio.run(asked_of_a_service(model))["result"]]
    assert set(answers) == {"Not for [key], nor for [key]."}
    assert not any(map(spelt, files(tmp_path).values()))


@pytest.mark.parametrize("way", ["direct", "client"])
@pytest.mark.parametrize("spelling", UNSEEN)
@pytest.mark.parametrize("place", ["an error", "an error beside choices", "an answer", "a refusal"])
def test_no_error_of_a_good_status_joins_a_key_that_something_unseen_kept_apart(
    place, spelling, way
):
    message = {"content": "SAID"} if place == "an answer" else {"refusal": "SAID"}
    reply = {
        "an error": {"error": {"message": "SAID"}},
        "an error beside choices": {"error": {"message": "SAID"}, "choices": []},
    }.get(place, {"choices": [{"message": message, "finish_reason": "stop"}]})
    body = json.dumps(reply).replace("SAID", f"It is {NEEDLESS[spelling](CANARY)}.")
    with Said(body.encode()) as server:
        settings = {"base_url": server.base_url, "api_key": CANARY}
        if way == "client":
            client = openai.AsyncOpenAI(http_client=httpx2.AsyncClient(), **settings)
            settings = {"client": client}
        retry = lp.Retry(max_attempts=1, max_corrections=0, base_s=0)
        out, _ = ask(lp.Model("openai/m", **settings), rows=1, schema=bool, retry=retry)
    said = out.llm.errors().to_csv()
    assert not spelt(said)
    assert "It is [key]." in said


@pytest.mark.parametrize("way", ["direct", "environment", "client"])
def test_what_a_proxy_is_sent_is_taken_out_of_what_comes_back(way, tmp_path, monkeypatch):
    sent = base64.b64encode(f"me:{CANARY}".encode()).decode()
    body = {"error": {"message": f"refused: Basic {sent} of me:{CANARY}"}}
    with Said(json.dumps(body).encode(), status="400 No") as proxy:
        address = proxy.base_url.removesuffix("/v1").replace(
            "//", f"//me:{quote(CANARY, safe='')}@"
        )
        http = httpx2.AsyncClient(proxy=address) if way == "client" else None
        if way != "client":
            monkeypatch.setenv("HTTP_PROXY", address)
        settings = {"base_url": "http://model.test/v1", "api_key": "none"}
        if way != "direct":
            settings = {"client": openai.AsyncOpenAI(http_client=http, **settings)}
        out, _ = ask(lp.Model("openai/m", allow_http=True, **settings), rows=1)
        (said,) = out.llm.errors()["message"]
    assert "refused: Basic [key] of [key]" in said
    for content in files(tmp_path).values():
        assert sent.encode() not in content
        assert not spelt(content)


@pytest.mark.parametrize("password", ["word/hunter2", "1/hunter2", "hunter2/1"])
def test_the_password_of_a_proxy_with_a_slash_in_it_is_not_shown(password, monkeypatch):
    address = f"http://me:{password}@127.0.0.1:9"
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(LionprocError) as caught:
        ask(lp.Model("openai/m", base_url="https://model.test/v1", api_key="none"), rows=1)
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown
    assert "hunter2" not in way_to("https://model.test/v1", address)


class Said:
    """A server that says exactly this, to every request."""

    def __init__(self, body, status="200 OK"):
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self._reply = head.encode() + body
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    data = b""
                    while b'"messages"' not in data or not data.endswith(b"}"):
                        data += connection.recv(65536)
                    connection.sendall(self._reply)


# --- what a program shows -----------------------------------------------------------------------


def test_no_repr_shows_the_key(model, server):
    out, _ = ask(model, rows=1)
    job = lp.last_job()
    connection = model.connect()
    shown = [
        *(model, job, job.stats, job.limits, job._plan, *job._connections, connection),
        *(
            connection.wire,
            connection.endpoint,
            connection.limiter,
            *job._routes.executors,
            job.report(),
        ),
        *(
            out.llm.report().facts,
            *job._builders,
            *job._routes.routes,
            lp.RateLimitedAPIExecutor(),
            vars(job.stats.__class__),
        ),
    ]
    for thing in shown:
        assert not spelt(repr(thing)), type(thing)
        assert not spelt(str(thing)), type(thing)
    assert isinstance(job._plan, Plan)


def test_the_embedded_models_key_is_not_shown_and_does_not_travel():
    endpoint = local.Endpoint("http://127.0.0.1:9/v1", CANARY, "m", "weights", 1, 4)
    assert not spelt(repr(endpoint))
    with pytest.raises(TypeError):
        pickle.dumps(endpoint)


def raised(model, error, **more):
    with pytest.raises(error) as caught:
        ask(model, **more)
    return caught.value


@pytest.mark.parametrize("way", ["refused", "rows failed"])
def test_errors_and_their_tracebacks_and_pickles_have_no_key(model, server, way):
    if way == "refused":
        server.configure(faults=lambda body, n: "401")
        error = raised(model, AccessError)
    else:
        server.configure(faults=lambda body, n: "echo_key")
        error = raised(model, RowsFailedError, errors="raise")
    assert not spelt("".join(traceback.format_exception(error)))
    assert not spelt(pickle.dumps(error))
    assert type(pickle.loads(pickle.dumps(error))) is type(error)  # noqa: S301  (made just here)
    for _, failed in lp.last_job()._store.failures.latest(100):
        assert not spelt(pickle.dumps(failed))
    with pytest.raises(TypeError):
        pickle.dumps(lp.last_job())


def test_the_locals_of_a_run_that_failed_have_no_key(server):
    """What a notebook in verbose mode, or a crash reporter, would show."""
    made = lp.Model("openai/m", base_url=server.base_url, api_key=CANARY)
    server.configure(faults=lambda body, n: "401")
    error = raised(made, AccessError)
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert not spelt("".join(shown.format()))


WITHIN = {
    "a search": {
        "data_sources": [
            {
                "type": "azure_search",
                "parameters": {
                    "index_name": "reviews",
                    "authentication": {"type": "api_key", "key": CANARY},
                },
            }
        ]
    },
    "a tool": {
        "tools": [
            {
                "type": "mcp",
                "server_url": "https://tool.example/mcp",
                "headers": {"Authorization": f"Bearer {CANARY}"},
            }
        ]
    },
    "an address": {
        "tools": [{"server_url": f"https://tool.example/mcp?key={quote(CANARY, safe='')}"}]
    },
    "a login": {"store": {"place": f"mongodb://me:{quote(CANARY, safe='')}@store.example/reviews"}},
    "a text of settings": {"store": {"place": f"AccountName=me;AccountKey={CANARY};"}},
    "cookies": {"tools": [{"headers": {"Cookie": f"theme=dark; sid={CANARY}; lang=en"}}]},
    "settings with spaces": {
        "store": {"place": f"Driver={{ODBC Driver 18}};Server=db;Uid=me;Pwd={CANARY};"}
    },
    "what a stranger may read": {"metadata": {"apiKey": CANARY, "password": "hunter2"}},
}


@pytest.mark.parametrize("over", ["direct", "client"])
@pytest.mark.parametrize("way", WITHIN)
def test_a_key_within_a_field_of_the_body_goes_to_its_server_and_nowhere_else(
    way, over, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    with Server(answer=f"Your key is {CANARY}.") as server:
        at = {"base_url": server.base_url, "api_key": server.key}
        if over == "client":
            at = {"client": openai.AsyncOpenAI(http_client=httpx2.AsyncClient(), **at)}
        model = lp.Model("openai/m", **at, **WITHIN[way])
        out, said = ask(model, rows=2, save="out.parquet", name="one")
        sent = [json.loads(request.raw_body) for request in server.requests]
        ask(copy.copy(model), rows=3)
        assert len(server.requests) == 3  # the same place
        server.configure(answer="Yours is another.")
        other = lp.Model(
            "openai/m", **at, **json.loads(json.dumps(WITHIN[way]).replace("4f", "5e"))
        )
        ask(other, rows=3, name="two")
        assert len(server.requests) == 6  # as with another header
        server.configure(faults=lambda body, n: "401")
        error = raised(model, RowsFailedError, rows=4, errors="raise")
    assert [{name: body[name] for name in WITHIN[way]} for body in sent] == [WITHIN[way]] * 2
    assert set(out["a"]) == {"Your key is [key]."}
    run = lp.run("one")
    df = pd.DataFrame({"text": ["row 1", "row 0"]})
    assert run.frame(df)["a"].tolist() == ["Your key is [key]."] * 2  # found, by what is noted
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown = [
        *(repr(model), repr(vars(model)), model.params, repr(model.connect()), *said, caplog.text),
        *(repr(run.diff(lp.run("two"))), repr(run.note), "".join(trace.format())),
    ]
    assert not any(map(spelt, shown))
    assert "hunter2" not in str(shown)
    assert "'[key]'" in repr(model)
    for content in files(tmp_path).values():
        assert not spelt(content)
        assert b"hunter2" not in content


def test_keys_that_change_places_within_a_field_of_the_body_are_another_place(server):
    df, one, two = pd.DataFrame({"text": ["row"]}), CANARY, CANARY[::-1]
    for first, second in [(one, two), (two, one), (one, one), (two, two), (one, two)]:
        tools = [{"headers": {"Authorization": key}} for key in (first, second)]
        model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key, tools=tools)
        df.llm.process("Say {text}", into="a", model=model, progress=False)
    assert server.counters.total == 4  # and the last one is the first


def test_a_key_within_a_field_of_the_body_travels_in_no_pickle():
    made = lp.Model("openai/m", base_url=AT, api_key="none", **WITHIN["a search"])
    pickled = pickle.dumps(made)
    assert not spelt(pickled)
    travelled = pickle.loads(pickle.dumps(pickle.loads(pickled)))  # noqa: S301  (made just here)
    with pytest.raises(ModelError, match=r"data_sources.*where it is used"):
        travelled.connect()


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
BASE64 = "q83vEjRWeJCrze/x1+Zt0k2b3/9yZs8A1bC2dE3fG4h="
SAS = "sv=2022-11-02&sp=r&sig=abcDEF123%2Bxyz%2F456ghiJKL789mnoPQR012stuVWX%3D"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END PRIVATE KEY-----\n"
WRITTEN = {
    "a JWT": {"token": JWT},
    "base64": {"key": BASE64},
    "a signature in an address": {"url": f"https://store.example/file?{SAS}"},
    "a signature": {"sas_token": SAS},
    "a short one in an address": {"server_url": "https://tool.example/?api_key=k3Y9aa81bc2d"},
    "a password in an address": {"server_url": "https://tool.example/?password=Tr0ub4dor"},
    "a token behind an address": {"url": f"https://tool.example/#access_token={JWT}"},
    "a bot": {"url": "https://tool.example/bot123456789:AAF0abcdefghijklmnopqrstuvwx012345/"},
    "several words": {"password": "correct horse battery staple 9"},
    "settings of postgres": {"dsn": "host=h user=u password=S3cret99xx dbname=d"},
    "a key in a file": {"place": PEM},
    "a login": {"auth": ["user", "p4ssw0rd99"]},
    "a scheme of its own": {
        "headers": {"Authorization": 'Token token="4f9a81c27be0", email="m@e"'}
    },
    "headers in lines": {"headers": ["Accept: text/html", "Authorization: Bearer of-mine-1"]},
    "other headers": {"http_headers": {"X-Auth": "a1b2c3d4e5f6"}},
    "an address in a text": {"note": "see https://tool.example/x?api_key=of-mine-1 now"},
    "a login in a text": {"proxy": "http://user:of-mine-1@proxy.example/ x"},
    "JSON in a text": {"config": '{"api_key": "of-mine-1234"}'},
}


@pytest.mark.parametrize("way", WRITTEN)
def test_a_key_in_a_field_is_known_however_it_is_written(way):
    model = lp.Model("openai/m", base_url=AT, tools=[WRITTEN[way]])
    assert "[key]" in repr(model.params["tools"])
    (name,) = WRITTEN[way]
    other = lp.Model("openai/m", base_url=AT, tools=[{name: "another"}])
    assert model.connect().identity != other.connect().identity


def test_what_only_looks_like_a_key_in_a_field_is_sent_and_noted_as_it_is():
    fields = {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "sign_in",
                    "parameters": {
                        "properties": {"password": {"type": "string", "title": "Of yours2"}},
                        "required": ["password", "api_key"],
                    },
                },
            },
            {"type": "file_search", "vector_store_ids": ["vs_68a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5"]},
            {"filters": {"type": "eq", "key": "year_of_2024", "value": "2024"}},
            {"server_url": "https://x.example/acme/forecasting-benchmark-2026-results"},
            {"parameters": {"dependentRequired": {"password": ["user_id2"]}}},
            {"schema_url": "https://x.example/schemas/2026-01-customer-order-v1a.json"},
            {
                "search_prompt": "see https://x.example/commit/a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"
            },
        ],
        "metadata": {
            "author": "George Orwell, 1949",
            "keywords": "covid-19",
            "authorization": "n/a",
            "code": "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
            "secret_project": "Apollo-11",
            "cookie_policy": "v2-2026",
            "order": '{"order":"ORD20240501A77"}',
            "pairs": "a=1 b=2",
            "of_json": '{"colour": "blue-20261129-abcdefgh"}',
            "key": "release-2024",
            "session": "2026-11-29",
            "password": 20261129,
        },
        "stop_tokens": ["<|im_end|>", "</s>"],
        "prediction": {"type": "content", "content": "Bearer of bad news, 12 of them"},
        "documents": [
            {
                "text": "Members get 20 % off at https://shop.example/?code=SUMMER25ABCDEFGHIJKLMNOP now."
            },
            {"text": "https://docs.example/d/1A2b3C4d5E6f7G8h9I0jKlMnOpQrStUvWxYz012345/edit"},
        ],
        "guided_choice": ["sk-10001", "sk-proj-0123456789abcdef"],
        "stop": ["</s>", "key=value0001;"],
        "search_parameters": {"sources": [{"links": ["https://news.example/feed?code=de-2024x"]}]},
        "data_sources": [
            {"parameters": {"authentication": {"managed_identity_resource_id": "product-0042"}}}
        ],
        "store": {"place": "Server=db1;Session Timeout=30seconds1;Pooling=true"},
    }
    assert lp.Model("openai/m", base_url=AT, **fields).params == fields


IDS = {
    "prompt_cache_key": "reviews-v1",
    "safety_identifier": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
    "user": "user-5e884898da28047151d0e56f8dc62927",
    "session_id": "7f9c24e8-3b1f-4ef2-9f0a-1234567890ab",
    "cached_content": "cachedContents/0n4f7k2p9x3q8r5t1v6w2y4z",
}


@pytest.mark.parametrize("name", ["conversation", "trace_id", "deployment_id", "grammar"])
def test_an_id_or_a_text_in_any_other_field_is_no_key_either(name):
    for value in ("conv_68f1a0b2c3d4e5f60718293a4b5c6d7e", '["SKU12345678AB"]'):
        assert lp.Model("openai/m", base_url=AT, **{name: value}).params == {name: value}
    with pytest.raises(ModelError, match="this is a key"):
        lp.Model("openai/m", base_url=AT, **{name: CANARY})


@pytest.mark.parametrize("name", IDS)
def test_an_id_in_a_documented_field_is_no_key_and_a_key_in_its_place_is_refused(name):
    assert lp.Model("openai/m", base_url=AT, **{name: IDS[name]}).params == {name: IDS[name]}
    with pytest.raises(ModelError, match="this is a key") as caught:
        lp.Model("openai/m", base_url=AT, **{name: CANARY})
    assert not spelt(str(caught.value))


BAD = {
    "provider": lambda: lp.Model("opnai/m", api_key=CANARY),
    "temperature": lambda: lp.Model("openai/m", api_key=CANARY, temperature=9),
    "line break": lambda: lp.Model("openai/m", api_key=CANARY + "\n2"),
    "masked": lambda: lp.Model("openai/m", api_key=pydantic.SecretStr(CANARY), timeout=0),
    "parameter": lambda: lp.Model("openai/m", api_key=CANARY, seed={1}),
    "within a field": lambda: lp.Model("openai/m", temperature=9, **WITHIN["a search"]),
    "misspelt": lambda: lp.Model("openai/m", apikey="sk-canary-DO-NOT-leak-4f9a81c27be0"),
    "headers": lambda: lp.Model("openai/m", extra_headers={"X-Key": CANARY}),
    "client": lambda: lp.Model("openai/m", api_key=CANARY, client=object()),
    "address": lambda: lp.Model("openai/m", base_url=f"https://me:{CANARY}@x.example/v1"),
    "as provider": lambda: lp.Model(CANARY),
    "as model": lambda: lp.Model("openai", CANARY),
    "as both": lambda: lp.Model(f"openai/{CANARY}"),
    "as address": lambda: lp.Model("openai/m", base_url=CANARY),
    "no certificates": lambda: lp.Model("openai/m", base_url=AT, api_key=CANARY).connect(),
    "wrong client": lambda: lp.Model("openai/m", client=Unlike()).connect(),
    "half a character": lambda: lp.Model("openai/m", client=half()).connect(),
    "half a character, further in": lambda: encoded("utf-8"),
}
AT = "https://model.example/v1"


class Unlike(openai.AsyncOpenAI):
    """A client whose connections cannot be told."""

    def __init__(self):
        super().__init__(api_key=CANARY, base_url=AT)
        self._client = None


def half():
    """A client with a key as the environment gives one that is no UTF-8."""
    return openai.AsyncOpenAI(api_key=f"{CANARY}\udce9", base_url=AT)


@sealed
def encoded(codec):
    """Raises an error that keeps the text that it is about."""
    return f"{CANARY}\udce9".encode(codec)


@pytest.mark.parametrize("way", BAD)
def test_a_traceback_that_shows_locals_shows_no_key_whatever_goes_wrong(monkeypatch, way):
    if way == "no certificates":
        monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    with pytest.raises(Exception) as caught:  # noqa: PT011  (whichever it is)
        BAD[way]()
    trace = caught.value.__traceback__.tb_next.tb_next  # from our own frames on
    shown = traceback.TracebackException(
        type(caught.value), caught.value, trace, capture_locals=True, lookup_lines=False
    )
    told = "".join(shown.format())
    assert "canary" not in told
    frames = [frame for frame, _ in traceback.walk_tb(trace)]
    assert frames
    assert not any("canary" in repr(frame.f_locals) for frame in frames)
    assert "canary" not in str(caught.value)


@sealed
def interrupted():
    """Somebody presses Ctrl-C where a key is in the clear."""
    key = CANARY
    raise KeyboardInterrupt from LookupError(key)


def test_a_traceback_of_ctrl_c_while_a_model_is_made_shows_no_key():
    with pytest.raises(KeyboardInterrupt) as caught:
        interrupted()
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "canary" not in "".join(shown.format())


def test_the_variables_of_a_model_and_its_wire_show_no_key_and_do_not_travel():
    made = lp.Model("openai/m", base_url=AT, api_key=CANARY)
    connection = made.connect()
    for thing in (made, connection.wire):
        assert "canary" not in repr(vars(thing))
    for thing in (connection.wire, made._api_key, connection):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    for twin in (copy.copy(made._api_key), copy.deepcopy(made._api_key)):
        assert twin.reveal() == CANARY


def test_what_is_only_half_made_has_a_repr():
    services = (lp.ProcessingService, lp.BatchProcessor, lp.Pipeline)
    for kind in (lp.Model, lp.Job, lp.RateLimitedAPIExecutor, Server, *services):
        assert "half made" in repr(object.__new__(kind))
    assert repr(object.__new__(EndpointState))


def test_a_masked_key_is_taken_as_it_is(server):
    made = lp.Model("openai/m", base_url=server.base_url, api_key=pydantic.SecretStr(CANARY))
    out, _ = ask(made, rows=1)
    assert out["a"].notna().all()
    assert repr(Secret(CANARY)) == "[key]"


def test_an_error_of_a_call_survives_a_pickle():
    error = CallError(Kind.TIMEOUT, "No reply.", status=504, retry_after_s=2.0)
    twin = pickle.loads(pickle.dumps(error))  # noqa: S301  (made just here)
    assert (twin.kind, twin.message, twin.status, twin.retry_after_s) == (
        *(Kind.TIMEOUT, "No reply.", 504),
        2.0,
    )


def test_an_executed_notebook_has_no_key(server, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("CANARY_KEY", CANARY)
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    server.configure(faults=lambda body, n: "echo_key" if "row 1" in str(body) else None)
    cells = [
        (
            "%xmode Verbose\nimport os, pandas as pd, lionproc as lp\n"
            f"model = lp.Model('openai/m', base_url={server.base_url!r}, api_key=os.environ['CANARY_KEY'])\n"
            "df = pd.DataFrame({'text': ['row 0', 'row 1']})\nmodel"
        ),
        "out = df.llm.process('Say {text}', 'a', model=model, details=True)\nout",
        "out.llm.errors()",
        "out.llm.report()",
        "lp.last_job()",
        "df.llm.process('Ask {text}', 'a', model=model, errors='raise')",
        "lp.Model('openai/m', temperature=9)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nbclient.NotebookClient(
            notebook, timeout=50, allow_errors=True, kernel_name="python3"
        ).execute()
    written = nbformat.writes(notebook)
    assert written.count("[key]") >= 2
    assert '"ename": "RowsFailedError"' in written
    assert not spelt(written)
    assert not any(map(spelt, files(tmp_path).values()))


# --- where files lie ----------------------------------------------------------------------------


def test_files_are_for_their_owner_alone(server, tmp_path):
    before = os.umask(0)
    try:
        made = lp.Model("openai/m", base_url=server.base_url, api_key=CANARY)
        df = pd.DataFrame({"text": [f"row {n}" for n in range(3)]})
        job = df.llm.start("{text}", "a", model=made, progress=False)
        server.wait_for(lambda counters: counters.ok >= 1)
        modes = {
            path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / ".lionproc").rglob("*")
        }
        job.result(20)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / ".lionproc").stat().st_mode) == 0o700
    journals = {path: mode for path, mode in modes.items() if ".sqlite" in path.name}
    assert {path.name.rpartition("sqlite")[2] for path in journals} >= {"", "-wal", "-shm"}
    assert set(journals.values()) == {0o600}
    assert (tmp_path / ".lionproc" / ".gitignore").read_text() == "*\n"


# --- what the package never does ----------------------------------------------------------------

FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "read_pickle", "to_pickle", "system"}


WORDS = re.compile("|".join([*FORBIDDEN_MODULES, *FORBIDDEN_CALLS, "shell", "allow_pickle"]))


def forbidden(source):
    """What a module does that it never should: names of modules and calls."""
    found = set()
    if source.isascii() and not WORDS.search(source):
        return found  # most files, which take seconds to parse
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "").partition(".")[0]} & FORBIDDEN_MODULES
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                found |= {called.id} & (FORBIDDEN_CALLS - {"system"})
            elif isinstance(called, ast.Attribute) and called.attr in FORBIDDEN_CALLS:
                owner = called.value.id if isinstance(called.value, ast.Name) else ""
                if owner != "re" and (called.attr != "system" or owner == "os"):
                    found.add(called.attr)
            for keyword in node.keywords:
                if keyword.arg == "shell" and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    found.add("shell")
                if keyword.arg == "allow_pickle":
                    found.add("allow_pickle")
    return found


def test_no_module_unpickles_or_evaluates_anything():
    modules = sorted(PACKAGE.rglob("*.py"))
    assert len(modules) > 300
    found = {path: forbidden(path.read_text()) for path in modules}
    assert {str(path): names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import loads",
        "eval('1')",
        "builtins.exec('1')",
        "frame.to_pickle(p)",
        "pd.read_pickle(p)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "np.load(p, allow_pickle=True)",
    ],
)
def test_the_check_itself_finds_them(source):
    assert forbidden(source)


# --- which headers are secrets ------------------------------------------------------------------


@pytest.mark.parametrize(
    "cookie",
    [
        "sid=eu-west-1",
        "connect.sid=s:eu-west-1",
        "JSESSIONID=eu-west-1",
        "ASP.NET_SessionId=eu-west-1",
        "_oauth2_proxy=eu-west-1",
        "CF_Authorization=eu-west-1",
        "csrftoken=eu-west-1",
        "remember_me=eu-west-1",
        "app=0f5e9a81-c27b-e04f-9a81-c2aa41d0b7e3",
        "u=sk-12345678",
    ],
)
def test_a_cookie_that_may_let_somebody_in_is_a_secret(cookie):
    found = secrets_in({"Cookie": f"theme=darkblue; {cookie}; lang=de-at-2024"})
    assert found == (cookie.partition("=")[2],)


def test_credentials_are_told_from_other_headers():
    found = secrets_in(
        {
            "Authorization": "Bearer sk-12345678",
            "api-key": "azure-12345678",
            "X-Gateway-Token": "a/b/c/d/e",
            "Cookie": "session=12345678",
            "Content-Type": "application/json",
            "User-Agent": "lionproc-12345678",
            "x-api-key": "short",
        }
    )
    assert set(found) == {"sk-12345678", "azure-12345678", "12345678", "a/b/c/d/e"}


HEX = "0f5e9a81c27be04f9a81c2aa41d0b7e3"


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({"Helicone-Target-URL": f"https://me:{HEX}@llm.example/v1"}, HEX),
        ({"X-Upstream": f"see <https://llm.example/v1?api_key={HEX}>, please"}, HEX),
        ({"x-portkey-config": f'{{"custom_host": "https://llm.example/v1?code={HEX}"}}'}, HEX),
        ({"x-portkey-config": f'{{"credentials": {{"azure": "{HEX}"}}}}'}, HEX),
        ({"Cookie": "connect.sid=s%3Aabcdef%2Fgh12345678"}, "s:abcdef/gh12345678"),
        ({"X-Session-Token": "s%3Aabcdef%2Fgh+12345678"}, "s:abcdef/gh 12345678"),
        ({"X-SAS": "sv=2020-08-04&sig=abc%2Bdefghij%3D&se=1700000000"}, "abc+defghij="),
        ({"Authorization": "SharedAccessSignature sr=x&sig=abcdefghij&se=1"}, "abcdefghij"),
    ],
    ids=lambda each: str(each)[:50],
)
def test_a_secret_within_a_header_is_found_as_servers_read_it(headers, secret):
    found = secrets_in(headers)
    assert secret in found
    assert not {"1700000000", "2020-08-04", "llm.example"} & set(found)


NO_SECRETS = {
    "an address": {"X-Upstream": "https://llm.example/v1?model=gpt-4o-mini-2024&region=eu-west-1"},
    "what else stands beside a secret": {"x-cfg": '{"secret": {"kind": "vault of the team"}}'},
    "what a cookie says of a region and a day": {
        "Cookie": "region=eu-west-1; consent=2024-05-01; theme=darkblue; tz=Europe/Berlin"
    },
    "the config of a gateway": {
        "x-portkey-config": '{"targets": [{"override_params": {"model": "gpt-4o-mini"}}]}'
    },
    "its facts": {"x-portkey-metadata": '{"_user":"user-123","env":"prod-2024"}'},
    "its trace": {"x-portkey-trace-id": "reviews-2024-11"},
    "the name of a session": {"Helicone-Session-Name": "Reviews of 2024"},
    "its path": {"Helicone-Session-Path": "/reviews/of/germany/2024"},
    "an author": {"X-Author": "J.Smith2"},
    "a tenant": {"X-Tenant": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"},
    "a user": {"Helicone-User-Id": "user123456789"},
    "an organization": {"X-Org": "Acme-2024Q3report"},
    "a user among facts": {"x-portkey-metadata": '{"_user":"user123456789","day":"2024-05-01"}'},
    "a commit": {"X-Commit": "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"},
    "a project": {"X-Secret-Project": "Apollo-11"},
    "the key of a cache": {"cf-aig-cache-key": "responseA", "x-bt-cache-key": "movies-2024"},
    "that of a request": {"Idempotency-Key": "invoice-20240501"},
    "that of a part": {"X-Partition-Key": "customer-12345678"},
    "the first one of a part": {
        "X-Routing-Key-Primary": "eu-west-1",
        "X-Cache-Key-V1": "eu-west-1",
    },
    "an organization's own": {"OpenAI-Organization": "org-AbC12dEf34GhI56jKl78MnO90"},
    "that of a language": {"X-Language-Key": "en-us-2024"},
    "that of a project": {"X-Project-Key": "PROJ-2024-7", "X-Tenant-Key": "acme-eu-1"},
    "that of a measure": {"X-Metric-Key": "latency-p99"},
    "numbers of tokens": {"X-Max-Tokens": "4096-to-8192", "X-Stop-Tokens": "<|endoftext2|>"},
    "a drink": {"X-Whiskey": "islay-1985"},
    "a country": {"X-Country-Code": "DE-Bavaria"},
    "a gateway": {"x-portkey": "something-2024"},
    "a version": {"X-Signature-Version": "2024-01-01"},
    "a proxy's user": {"X-Auth-Request-Email": "jane@corp.example", "X-Auth-Tenant": "contoso-1"},
    "tokens": {"X-Tokenizer": "cl100k_base", "X-Max-Tokens-Model": "gpt-4o-mini"},
}


@pytest.mark.parametrize("what", NO_SECRETS)
def test_what_is_only_called_a_little_like_a_key_is_none(what):
    assert not secrets_in(NO_SECRETS[what])


@pytest.mark.parametrize("name", ["X-Project-Key", "tenant_key", "X-Language-Key"])
def test_the_long_key_of_a_thing_is_one(name):
    assert "0f5e9a81c27be04f9a81c2aa41d0b7e3" in secrets_in(
        {name: "0f5e9a81c27be04f9a81c2aa41d0b7e3"}
    )


def test_parameters_of_an_address_are_keys_by_their_names_and_their_length():
    base = "https://host.example/v1?"
    for innocent in ("keyspace=reviews_2024", "code=en_GB_2024", "author=J.Smith2"):
        assert not secrets_in({}, base + innocent)
    for key in (
        "key=of-mine-1",
        "code=4f9a81c27be04f9a81c2/a==",
        "sig=ab%2Fcd/ef-1",
        "apiKey=of-mine-1",
    ):
        (found,) = {secret for secret in secrets_in({}, base + key) if len(secret) > 8}
        assert len(found) >= 9


@pytest.mark.parametrize(
    "name",
    [
        "OpenAIKey",
        "X-API-KEY-V2",
        "x-apikey-primary",
        "X-Token-Value",
        "X-Bearer",
        "access_token_v2",
        "client_assertion",
        "SAMLResponse",
        "X-LLMKey",
        "JWTToken",
        "OPENAIKEY",
        "gatewaykey",
        "X-Appkey",
        "licensekey",
        "masterkey",
        "idtoken",
        "X-CSRFToken",
        "X-Tokens",
        "authcode",
        "oauth",
    ],
)
def test_names_that_are_written_as_one_word_are_known(name):
    assert secrets_in({name: "blue-Horse_77!q"}) == ("blue-Horse_77!q",)
    assert secrets_in({}, f"https://host.example/v1?{name}=blue-Horse_77") == ("blue-Horse_77",)


@pytest.mark.parametrize("name", ["Authorization-Backend", "X-Authorization-Upstream"])
def test_what_authorizes_somewhere_behind_is_known(name):
    assert secrets_in({name: "blue-Horse_77!q"}) == ("blue-Horse_77!q",)


def test_a_header_of_any_name_that_is_surely_a_key_is_found():
    for key in ("sk-canary-4f9a81c2", "q83vEjRWeJCrze9x1Zt0k2b3y", "xoxb-123456789012-abc"):
        assert secrets_in({"X-Whatever": key}) == (key,)


def test_keys_within_the_config_of_a_gateway_are_found():
    config = {"targets": [{"provider": "a", "api_key": "of-the-first-1"}, {"authKey": "of-two-22"}]}
    found = secrets_in({"x-portkey-config": json.dumps(config)})
    assert set(found) == {"of-the-first-1", "of-two-22"}
    assert secrets_in({"x-portkey-config": '{"api_key": "of-the-fir'}) == ()  # no JSON


@pytest.mark.parametrize("way", ["direct", "client"])
def test_a_number_that_stands_for_no_key_is_left_in_answers(way):
    with Server(key=None, answer="Call 1234567890.") as server:
        model = lp.Model("openai/m", base_url=server.base_url, api_key="1234567890")
        if way == "client":
            client = openai.AsyncOpenAI(base_url=server.base_url, api_key="1234567890")
            model = lp.Model("openai/m", client=client)
        out, _ = ask(model, rows=1)
    assert out["a"].tolist() == ["Call 1234567890."]
    assert hidden(401, b"Wrong key: 1234567890", ["1234567890"]) == b"Wrong key: [key]"


@pytest.mark.parametrize("secret", ["my secret pass 1234", "p@ss w\"ord'9 4", "a b c d e f g h 1"])
@pytest.mark.parametrize("name", ["X-Password", "Authorization", "Proxy-Authorization", "api-key"])
def test_a_passphrase_with_spaces_and_quotes_is_hidden_as_a_whole(name, secret):
    scheme = "Bearer " if name.endswith("Authorization") else ""
    found = secrets_in({name: scheme + secret})
    for echoed in (secret, json.dumps(secret)[1:-1]):
        assert hidden(401, f"Wrong: {echoed}.".encode(), found) == b"Wrong: [key]."


@pytest.mark.parametrize("way", ["direct", "client"])
def test_words_that_stand_for_no_key_are_left_in_answers(way):
    """Whoever has a server without keys writes any word there, and the model may say it too."""
    words = ("none", "lm-studio", "not-needed", "anything", "your_api_key", "localhost", "Password")
    said = [f"I like {word} best." for word in words]
    with Server(key=None) as server:
        for word, answer in zip(words, said, strict=True):
            server.configure(answer=answer)
            model = lp.Model("openai/m", base_url=server.base_url, api_key=word)
            if way == "client":
                client = openai.AsyncOpenAI(base_url=server.base_url, api_key=word)
                model = lp.Model("openai/m", client=client, scope=word)
            out, _ = ask(model, rows=1, resume=False)
            assert out["a"].tolist() == [answer]


def test_a_word_is_taken_out_of_errors_and_what_is_no_word_out_of_answers_too():
    assert hidden(401, b"Wrong key: not-needed", ["not-needed"]) == b"Wrong key: [key]"
    keys = (
        "token-abc123",
        "aBcDeFgHiJkL",
        "abcdefghijklmnopqrstuvwxyz",
        "correct-horse-battery-staple",
    )
    for key in keys:
        assert hidden(200, f"It is {key}.".encode(), [key]) == b"It is [key]."
    failed = b'{"error":{"failed_generation":"anything"}}'
    assert hidden(400, failed, ["anything"]) == failed
