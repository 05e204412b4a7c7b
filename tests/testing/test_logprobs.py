"""The test server tells log-probabilities where it is asked for them, as sure as it is told to be."""

import http.client
import json
import math
from urllib.parse import urlsplit

import pytest

from lionproc.errors import ConfigurationError
from lionproc.testing import Server

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "yet", "no"]}},
    "required": ["answer"],
}


@pytest.fixture(scope="module")
def server():
    with Server(answer={"answer": "yes"}, key=None) as made:
        yield made


def asked(server, **more):
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "?"}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
        **more,
    }
    place = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    reply = connection.getresponse()
    told = json.loads(reply.read())
    connection.close()
    return told["choices"][0] if reply.status == 200 else reply.status


def test_its_tokens_make_the_answer_and_the_probability_is_that_of_the_choice(server):
    server.configure(confidence=0.8)
    choice = asked(server, logprobs=True, top_logprobs=20)
    tokens = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    known = 1.0
    for token in tokens:
        listed = {each["token"]: math.exp(each["logprob"]) for each in token["top_logprobs"]}
        known *= listed[token["token"]] / (sum(listed.values()) - listed["~"])
    assert known == pytest.approx(0.8)


def test_it_tells_none_where_nobody_asks_or_it_has_none_and_few_where_few_are_asked_for(server):
    server.configure(confidence=0.8)
    assert asked(server)["logprobs"] is None
    few = asked(server, logprobs=True, top_logprobs=1)["logprobs"]["content"]
    assert {len(token["top_logprobs"]) for token in few} == {1}
    server.configure(confidence=None)
    assert asked(server, logprobs=True)["logprobs"] is None


@pytest.mark.parametrize(
    "more", [{"logprobs": True, "top_logprobs": 21}, {"top_logprobs": 3}], ids=str
)
def test_it_refuses_what_openai_refuses(server, more):
    assert asked(server, **more) == 400


def test_a_confidence_is_a_probability():
    with pytest.raises(ConfigurationError, match="confidence= is a probability"):
        Server(confidence=2)
