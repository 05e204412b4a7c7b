"""API keys on their way to the workers: beside the tasks, never in them.

Pickles of a `Model` carry no key. A worker takes it from its own environment, as it would take it
anywhere; that is the way to go between hosts. A key that was given in a notebook (`api_key=`) is
known to that process, and is handed to the workers of its cluster as a plugin: over the connections
of the cluster, into their memory. So it is in no graph, dashboard, log or file. Whoever can run code
on the cluster can read it there, as everything else.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from typing import Any

from distributed import WorkerPlugin
from distributed.client import _get_global_client as current_client

from lionproc.errors import ModelError
from lionproc.model.credentials import Secret
from lionproc.model.model import Model

__all__ = ["keep", "send", "with_key"]

log = logging.getLogger("lionproc")
WAIT_S = 10.0  # for a key that is on its way
_known: dict[str, Secret[Any]] = {}
_arrived = threading.Condition()


def keep(model: Model) -> str | None:
    """Remember the key that a model was given, and hand it to the cluster that is in use.

    Returns:
        The name under which `with_key` finds it; None where it was given none.
    """
    secret = model._api_key
    if secret is None:
        return None
    name = hashlib.sha256(b"lionproc key\0" + secret.reveal().encode()).hexdigest()[:24]
    _take(name, secret)
    send(name)
    return name


def _take(name: str, secret: Secret[Any]) -> None:
    with _arrived:
        _known[name] = secret
        _arrived.notify_all()


def send(name: str | None) -> None:
    """Hand a key to the workers of the cluster that this process uses, those that come later too."""
    secret = None if name is None else _known.get(name)
    client: Any = current_client()
    if secret is None or client is None or client.asynchronous or client.status != "running":
        return
    sent = vars(client).setdefault("_lionproc_keys", set())
    if name not in sent:
        client.register_plugin(KeyPlugin(str(name), secret))
        sent.add(name)


def with_key(model: Model, name: str | None) -> Model:
    """The model with its key, wherever this is.

    Args:
        model: The model, which lost its key if it has travelled.
        name: What `keep` said.

    Raises:
        ModelError: It had a key, and that has not come here.
    """
    if name is None or model._api_key is not None:
        return model
    with _arrived:
        _arrived.wait_for(lambda: name in _known, WAIT_S)
        secret = _known.get(name)
    if secret is None:
        variable = model.settings.key_variable
        raise ModelError(
            "The key of this model has not come to this worker: api_key= is handed to the cluster "
            "of the Client that is there when process() is called. Make the Client first, or "
            + (
                f"set {variable} in the environment of the workers and leave api_key= out."
                if variable
                else "call process() again."
            )
        )
    given: Any = {**model._arguments(), "api_key": secret}
    return Model(model.provider, model.model, **given)


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
