"""Frames of ours that hold what others wrote: labels, messages of a server, names of runs."""

from __future__ import annotations

from typing import cast

import pandas as pd

from lionproc.notebook.formatting import plain

__all__ = ["TextTable"]

_MOST = 10_000  # characters of a cell


class TextTable(pd.DataFrame):
    """A frame of which a notebook shows the texts as text: they move nothing, and are no formula."""

    @property
    def _constructor(self) -> object:
        return pd.DataFrame  # what is made of it is a frame like any other

    def _repr_html_(self) -> str | None:
        shown = pd.DataFrame(
            {
                name: self[name].map(_shown, na_action="ignore")
                for name in self.columns
                if self[name].dtype.kind in "OUST"
            }
        )
        with pd.option_context("display.html.use_mathjax", False):
            made = pd.DataFrame(self).assign(**shown)
            html = cast("str | None", made._repr_html_())  # type: ignore[operator]  # missing in the stubs
        # Older pandas knows one of the two names alone by which a notebook leaves formulas out.
        return html and f"<div class='mathjax_ignore tex2jax_ignore'>{html}</div>"


def _shown(cell: object) -> object:
    return plain(cell, _MOST) if isinstance(cell, str) else cell
