"""The model and the session of a service, chosen when they are first needed.

A service may be made before there is a model or a key; then its records can be read all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from lionproc.errors import ModelError
from lionproc.model.model import Model
from lionproc.service.session import Session
from lionproc.service.session_model import session_model


class LazySession:
    """Opens one `Session` at its first use.

    Args:
        model: The model that answers; None for the session's, else gpt-4o-mini where there is an
            OpenAI key.
        make: Makes the session for a model.
    """

    def __init__(self, model: Model | str | None, make: Callable[[Model], Session]) -> None:
        self._model = None if model is None else Model.of(model)
        self._make = make
        self._session: Session | None = None

    @property
    def model(self) -> Model:
        """The model that answers.

        Raises:
            ModelError: No model is set, and there is no OpenAI key for the default one.
        """
        if self._model is None:
            try:
                self._model = session_model()
            except ModelError:
                if not os.environ.get("OPENAI_API_KEY", "").strip():
                    raise
                self._model = Model("openai", temperature=0.3)
        return self._model

    def get(self) -> Session:
        """The session.

        Raises:
            ModelError: As for `model`.
        """
        if self._session is None:
            self._session = self._make(self.model)
        return self._session

    @property
    def stopped(self) -> str:
        """Why nothing can be sent any more, or ""."""
        return "" if self._session is None else self._session.stopped

    async def close(self) -> None:
        """Close the session if there is one."""
        if self._session is not None:
            await self._session.close()
