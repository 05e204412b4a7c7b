"""A slider and a number field for each limit, bound to the live limits.

What a person does arrives on some thread of the kernel and is handed to the engine's thread;
what the panel sets itself, it sets on the engine's thread. So the thread tells the two apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lionproc.engine import loop as engine_loop
from lionproc.engine.limits import Limits
from lionproc.errors import LimitsError
from lionproc.notebook.scale import Scale, read, shown


@dataclass(frozen=True)
class Knob:
    """A limit that can be turned.

    Attributes:
        field: Its name in `Limits`.
        label: What a person calls it.
        usual: The middle of the slider while there is no limit.
        lowest: Where the slider begins at the lowest.
        can_be_off: Whether it can be "no limit".
        always: Whether it is shown while it is off.
    """

    field: str
    label: str
    usual: float
    lowest: float
    can_be_off: bool = True
    always: bool = True


KNOBS = (
    Knob("requests_per_minute", "Requests / min", 600, 1),
    Knob("tokens_per_minute", "Tokens / min", 100_000, 1000),
    Knob("input_tokens_per_minute", "Tokens in / min", 100_000, 1000, always=False),
    Knob("output_tokens_per_minute", "Tokens out / min", 20_000, 1000, always=False),
    Knob("concurrency", "In flight", 32, 1, can_be_off=False),
)


class Row:
    """One limit: a label, its number field and its slider.

    Args:
        knob: Which.
        value: What it is now.
        turned: Called on the engine's thread with what a person asked for.
    """

    def __init__(self, knob: Knob, value: float | None, turned: Callable[[Row, Any], None]) -> None:
        import ipywidgets

        self.knob = knob
        self.value = value
        self._turned = turned
        self._scale = self._scale_around(value)
        # The number field carries the name for screen readers: it is the label's input.
        self.field: Any = ipywidgets.Text(
            value=shown(value),
            description=knob.label,
            continuous_update=False,
            tooltip=f"{knob.label}: a number such as 600 or 30k{', or no limit' * knob.can_be_off}",
        )
        # Only where it is let go, or a slider drawn across low limits would refuse large rows.
        self.slider: Any = ipywidgets.SelectionSlider(
            options=list(self._scale.labels()),
            index=self._scale.position(value),
            continuous_update=False,
            description=knob.label,
            tooltip=f"{knob.label}: drag, or use the arrow keys",
        )
        self.field.add_class(f"lp-{knob.field.replace('_', '-')}")
        self.slider.add_class(f"lp-{knob.field.replace('_', '-')}")
        self.box: Any = ipywidgets.HBox([self.field, self.slider])
        self.box.add_class("lp-row")
        self.field.observe(self._typed, "value")
        self.slider.observe(self._moved, "index")

    def _scale_around(self, value: float | None) -> Scale:
        knob = self.knob
        return Scale.around(
            value,
            usual=knob.usual,
            lowest=knob.lowest,
            can_be_off=knob.can_be_off,
            whole=knob.field == "concurrency",
        )

    def _typed(self, change: Any) -> None:
        if not engine_loop.here():
            _hand_over(lambda: self._turned(self, change["new"]))

    def _moved(self, change: Any) -> None:
        if not engine_loop.here():
            labels = self.slider.options
            _hand_over(lambda: self._slid(labels, change["new"]))

    def _slid(self, labels: Any, index: int | None) -> None:
        # A position on a scale that was redrawn meanwhile says nothing.
        if index is not None and tuple(labels) == self._scale.labels():
            self._turned(self, self._scale.values[index])

    def show(self, value: float | None) -> None:
        """Show a limit that is in force, on the engine's thread."""
        self.value = value
        text = shown(value)
        if self.field.value != text:
            self.field.value = text
        place = self._scale.position(value)
        if place is None:
            self._scale = self._scale_around(value)
            place = self._scale.position(value)
            with self.slider.hold_sync():
                self.slider.options = list(self._scale.labels())
                self.slider.index = place
        elif self.slider.index != place:
            self.slider.index = place

    def enable(self, *, on: bool) -> None:
        """Let it be turned, or not."""
        for widget in (self.field, self.slider):
            if widget.disabled is on:
                widget.disabled = not on


class LimitControls:
    """All limits of one limiter.

    Args:
        limits: Gives the live limits, which may become another object.
        refused: Called on the engine's thread with a sentence on what cannot be set.
    """

    def __init__(self, limits: Callable[[], Limits], refused: Callable[[str], None]) -> None:
        import ipywidgets

        self._limits = limits
        self._refused = refused
        live = limits()
        self.rows = [
            Row(knob, getattr(live, knob.field), self._turn)
            for knob in KNOBS
            if knob.always or getattr(live, knob.field) is not None
        ]
        self.box: Any = ipywidgets.VBox([row.box for row in self.rows])
        self.box.add_class("lp-wheel")

    def _turn(self, row: Row, asked: Any) -> None:
        knob, said = row.knob, ""
        try:
            value = read(asked) if isinstance(asked, str) else asked
            if knob.field == "concurrency" and value is not None:
                value = max(round(value), 1)
            self._limits().update(**{knob.field: value})
        except (ValueError, LimitsError):
            otherwise = ', or "no limit"' if knob.can_be_off else ""
            said = f"{knob.label} stays as it was: it takes a number such as 600 or 30k{otherwise}."
        self._refused(said)
        self.sync()

    def sync(self) -> None:
        """Show the limits in force, whoever set them."""
        live = self._limits()
        for row in self.rows:
            row.show(getattr(live, row.knob.field))

    def enable(self, *, on: bool) -> None:
        """Let them be turned, or not."""
        for row in self.rows:
            row.enable(on=on)

    @property
    def movable(self) -> list[object]:
        """The widgets that a person moves."""
        return [widget for row in self.rows for widget in (row.field, row.slider)]

    @property
    def widgets(self) -> list[object]:
        """All widgets of the wheel."""
        return [self.box, *(row.box for row in self.rows), *self.movable]


def _hand_over(act: Callable[[], None]) -> None:
    engine_loop.get().call_soon_threadsafe(act)
