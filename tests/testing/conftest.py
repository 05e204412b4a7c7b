import http.client
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest


@dataclass
class Reply:
    status: int
    headers: dict
    raw: bytes

    @property
    def json(self):
        return json.loads(self.raw)

    @property
    def choice(self):
        return self.json["choices"][0]

    @property
    def text(self):
        return self.choice["message"]["content"]


def chat(text="Hello", **more):
    return {"model": "test-model", "messages": [{"role": "user", "content": text}], **more}


def send(server, body=None, *, method="POST", path="/chat/completions", headers=None, timeout=10):
    """One request over a connection of its own, by the standard library."""
    url = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)
    data = body if isinstance(body, bytes) else json.dumps(chat() if body is None else body)
    if headers is None:
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    try:
        connection.request(method, f"/v1{path}", data if method == "POST" else None, headers)
        reply = connection.getresponse()
        return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
    finally:
        connection.close()


@pytest.fixture(name="chat")
def chat_fixture():
    return chat


@pytest.fixture
def ask():
    return send
