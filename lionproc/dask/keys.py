"""API keys on their way to the workers: beside the tasks, never in them.

Pickles of a `Model` carry no key. A worker takes it from its own environment, as it would take it
anywhere, for the address that the notebook goes to (see `destination.py`); that is the way to go
between hosts. A key that was given in a notebook (`api_key=`) is known to that process, and is handed
to the workers of its cluster as a plugin: over the connections of the cluster, into their memory. So
it is in no graph, dashboard, log or file. Whoever can run code on the cluster can read it there, as
everything else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Sequence
from typing import Any

from distributed import WorkerPlugin
from distributed.client import _get_global_client as current_client

from lionproc.errors import ModelError
from lionproc.model.body_secrets import BodySecrets
from lionproc.model.composed import singles_of
from lionproc.model.credentials import Secret, sealed
from lionproc.model.model import Model

__all__ = ["keep", "with_keys"]

WAIT_S = 10.0  # for a key that is on its way
_known: dict[str, Secret[Any]] = {}
_arrived = threading.Condition()


def keep(model: Model) -> tuple[str | None, ...]:
    """Remember the keys that a model was given, and hand them to the cluster that is in use.

    Returns:
        For each single model in it the name under which `with_keys` finds its key; None where it
        was given none.
    """
    names = tuple(map(_keep, singles_of(model)))
    send(names)
    return names


def _keep(model: Model) -> str | None:
    key, fields = model._api_key, model.body_secrets
    if key is None and not fields.sent:
        return None
    secret = Secret((key and key.reveal(), fields.given.reveal()))
    name = hashlib.sha256(b"lionproc key\0" + json.dumps(secret.reveal()).encode()).hexdigest()[:24]
    _take(name, secret)
    return name


def _take(name: str, secret: Secret[Any]) -> None:
    with _arrived:
        _known[name] = secret
        _arrived.notify_all()


def send(names: Sequence[str | None]) -> None:
    """Hand keys to the workers of the cluster that this process uses, those that come later too.

    Called when a question is asked, and again when it leaves for the workers of a cluster that
    was not there yet, or has come back. They wait a while for what is on its way.

    Args:
        names: What `keep` said. What is not known here is left to who knows it.
    """
    client: Any = current_client()
    if client is None or client.status != "running":
        return
    # Of this connection: a scheduler that was started again knows nothing of what another was told.
    sent = vars(client.scheduler_comm).setdefault("_lionproc_keys", set())
    for name in names:
        secret = _known.get(name) if name is not None else None
        if name is None or secret is None or name in sent:
            continue
        sent.add(name)
        plugin = KeyPlugin(name, secret)
        going = client._register_worker_plugin(plugin, plugin.name, idempotent=True)
        asyncio.run_coroutine_threadsafe(going, client.loop.asyncio_loop)


def with_keys(model: Model, names: Sequence[str | None]) -> Model:
    """The model with its keys, wherever this is.

    Args:
        model: The model, which has lost them if it has travelled. It gets them back.
        names: What `keep` said.

    Raises:
        ModelError: It had a key, and that has not come here.
    """
    for each, name in zip(singles_of(model), names, strict=True):
        if name is not None and (each._api_key is None or each.body_secrets.lost):
            _give(each, _arrived_key(each, name))
    return model


@sealed
def _give(model: Model, secret: Secret[Any]) -> None:
    key, fields = secret.reveal()
    model._api_key = None if key is None else Secret(key)
    model.body_secrets = BodySecrets(Secret({**model.params, **fields}))


def _arrived_key(model: Model, name: str) -> Secret[Any]:
    with _arrived:
        _arrived.wait_for(lambda: name in _known, WAIT_S)
        secret = _known.get(name)
    if secret is None:
        variable = model.settings.key_variable
        raise ModelError(
            "The key of this model has not come to this worker: api_key= is handed on by the process "
            "that was given it, to the cluster of its Client. Ask from there, or "
            + (
                f"set {variable} in the environment of the workers and leave api_key= out."
                if variable
                else "call process() again."
            )
        )
    return secret


class KeyPlugin(WorkerPlugin):
    """Brings a key to every worker.

    Args:
        name: What it is known by.
        secret: The key.
    """

    idempotent = True

    def __init__(self, name: str, secret: Secret[Any]) -> None:
        self.name = f"lionproc-key-{name}"
        self._name = name
        self._secret = secret

    def setup(self, worker: object) -> None:
        """Called on each worker."""
        del worker
        _take(self._name, self._secret)

    def __repr__(self) -> str:
        return f"<KeyPlugin {self._name}>"

    def __reduce__(self) -> tuple[object, ...]:
        """The one place where a key is written down: for the way to a worker, and for nothing else."""
        return (_brought, (self._name, self._secret.reveal()))


def _brought(name: str, key: str) -> KeyPlugin:
    return KeyPlugin(name, Secret(key))
