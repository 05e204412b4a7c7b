"""Which model a service asks."""

from __future__ import annotations

import os
import threading

from lionproc.engine.forked import in_forked_child
from lionproc.model.defaults import MODEL_VARIABLE, default, default_model
from lionproc.model.model import Model

__all__ = ["ModelCopy", "session_model"]

_lock = threading.Lock()


def session_model(given: Model | str | None = None) -> Model:
    """The model of an argument, or the configured one; equal names give the same object.

    Raises:
        ModelError: No model was given, configured or set in the environment.
    """
    chosen = default("model", given, os.environ.get(MODEL_VARIABLE, "").strip() or None)
    if not isinstance(chosen, str):
        return default_model(given)
    model = Model.of(chosen)
    variables = (model.settings.key_variable or "", "OPENAI_BASE_URL")
    known = hash((chosen, *(os.environ.get(name) for name in variables)))
    with _lock:
        return _models_by_name.setdefault(known, model)


_models_by_name: dict[int, Model] = {}


class ModelCopy(Model):
    """A copy of a model: a session that held the model itself would keep it alive for ever."""

    @classmethod
    def of(cls, model: Model | str) -> ModelCopy:
        """A copy of this one."""
        other = cls.__new__(cls)
        other.__dict__.update(Model.of(model).__dict__)
        return other


@in_forked_child
def _forked() -> None:
    """In a forked child: another thread of the parent may have held the lock."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
