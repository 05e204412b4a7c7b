"""`lp.limits_panel`: the live limits of a model, to see and set without a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lionproc.face import face
from lionproc.model.defaults import default_model
from lionproc.model.model import Model

if TYPE_CHECKING:
    from lionproc.notebook.limits_panel import LimitsPanel


@face
def limits_panel(model: Model | str | None = None) -> LimitsPanel:
    """The live limits that all runs to a model share; in a notebook, sliders for them.

    Args:
        model: An `lp.Model`, or "provider/model". None for the session's.

    Returns:
        What shows the panel as the last line of a cell; its `limits` can be assigned to.

    Raises:
        ModelError: There is no such model, or no key for it.

    Example:
        ```python
        panel = lp.limits_panel("openai/gpt-4o-mini")
        panel.limits.requests_per_minute = 300
        ```
    """
    from lionproc.notebook.limits_panel import LimitsPanel

    chosen = default_model(model)
    connection = chosen.connect()
    return LimitsPanel(connection.limiter, f"{connection.provider.name}/{connection.model}")
