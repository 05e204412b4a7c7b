"""Names and texts in two columns: the summaries of the card and of estimates.

The HTML has inline styles only, and without any style it is still a table: code hosts and exports
take everything else away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lionproc.notebook import formatting

__all__ = ["BOX", "CELL", "NOTE", "QUIET", "as_lines", "as_table"]

# A cell's text is no mathematics, whatever signs are in it.
BOX = "<div class='mathjax_ignore tex2jax_ignore' style='max-width:760px;margin:4px 0'>"
QUIET = "opacity:.65"
NOTE = f"{QUIET};font-size:.93em"  # below a table, whose text JupyterLab makes smaller
CELL = "text-align:left;vertical-align:top;padding:2px 16px 2px 0;border:0;background:none"


def as_lines(headline: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A headline and pairs for a terminal."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join([headline, *(f"  {name:<{width}}  {text}" for name, text in pairs)])


def as_table(pairs: Iterable[tuple[str, str]]) -> str:
    """Pairs for a notebook; everything is escaped."""
    rows = "".join(
        "<tr style='background:none'>"
        f"<th scope='row' style='{CELL};font-weight:normal;white-space:nowrap;{QUIET}'>"
        f"{formatting.escaped(name)}</th><td style='{CELL}'>{formatting.escaped(text)}</td></tr>"
        for name, text in pairs
    )
    return f"<table style='border:0;margin:0;font-variant-numeric:tabular-nums'>{rows}</table>"
