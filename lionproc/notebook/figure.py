"""A matplotlib figure as our pictures are: seen well on white and on nearly black, and by itself."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from lionproc.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BAD", "MAIN", "OTHER", "TEXT", "blank", "tidy"]

# A notebook has the theme of its reader, and a picture does not know it.
TEXT, MAIN, OTHER, BAD = "#7f858d", "#2f81d6", "#d98a1f", "#d64545"


def blank(title: str, width: float, height: float, *, called: str, without: str = "") -> Figure:
    """A transparent figure with a title.

    Args:
        title: What stands above.
        width: In inches.
        height: In inches.
        called: What was called, for the message.
        without: What helps where matplotlib is not wanted, in a sentence.

    Returns:
        A figure that a notebook shows as the last line of a cell.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    except ImportError:
        raise MissingDependencyError(
            f"{called} draws with matplotlib, which is not installed: "
            f"pip install 'lionproc[plot]'. {without}".rstrip()
        ) from None

    class Drawn(Figure):
        """A figure that shows itself in a notebook without pyplot, whose state is global.

        Its labels are answers and cells, of strangers: to LaTeX they would be a program.
        """

        def draw(self, renderer: Any) -> None:
            with rc_context({"text.usetex": False}):
                for text in self.findobj(Text):
                    text.set_usetex(False)
                super().draw(renderer)

        def _repr_png_(self) -> bytes:
            drawn = io.BytesIO()
            self.savefig(drawn, format="png", dpi=110)
            return drawn.getvalue()

    made = Drawn(figsize=(width, height), layout="constrained")
    made.patch.set_alpha(0.0)
    made.suptitle(title, color=TEXT, fontsize=10, x=0.01, ha="left", parse_math=False)
    return made


def tidy(axis: Axes, *, grid: str = "") -> None:
    """Axes without a frame, in the color of our texts.

    Args:
        axis: The axes.
        grid: "x", "y", "both" or nothing.
    """
    axis.patch.set_alpha(0.0)
    axis.tick_params(colors=TEXT, labelsize=8, length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(TEXT)
    if grid == "x":
        axis.grid(axis="x", color=TEXT, alpha=0.25, linewidth=0.6)
    elif grid == "y":
        axis.grid(axis="y", color=TEXT, alpha=0.25, linewidth=0.6)
    elif grid:
        axis.grid(color=TEXT, alpha=0.25, linewidth=0.6)
