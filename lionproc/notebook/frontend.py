"""Where a run is looked at, and whether what a person does there reaches Python in time.

Everything that reads a kernel's inside is in this module, each in one small function.
"""

from __future__ import annotations

import contextvars
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

Surface = Literal["terminal", "headless", "notebook"]
Bundle = Mapping[str, Any]  # MIME type -> content
# A frontend opens its subshell when it sees the first widget; so long nothing is said.
SUBSHELL_WAIT_S = 2.0


def shell() -> Any:
    """IPython's shell, None outside of IPython. Does not import it."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def surface() -> Surface:
    """What is on the other side: a terminal, a notebook with a person, or one run by a program.

    A notebook that papermill, nbconvert or nbmake executes (all by way of nbclient) says with
    each cell that nobody could answer a question; notebooks with a person say the opposite.
    """
    kernel = getattr(shell(), "kernel", None)
    if kernel is None:
        return "terminal"
    return "notebook" if getattr(kernel, "_allow_stdin", True) else "headless"


def has_subshells() -> bool:
    """True if the frontend opened a subshell (ipykernel 7, JupyterLab 4.4, Notebook 7.4).

    Only on one can an event of a widget be handled while a cell runs.
    """
    kernel = getattr(shell(), "kernel", None)
    manager = getattr(getattr(kernel, "shell_channel_thread", None), "manager", None)
    subshells = getattr(manager, "list_subshell", None)
    return bool(subshells is not None and subshells())


def let_events_through(widgets: Iterable[Any]) -> None:
    """Let events of these widgets run where the frontend sends them.

    ipykernel 7.4 sends what comes from a frontend to the shell that published last for the same
    widget. For a panel that is drawn from another thread that is the main shell, which is
    blocked by the very cell that the panel is to steer. The attribute is private;
    `tests/notebook/test_routing_canary.py` fails the day that this is no longer the way.
    """
    for widget in widgets:
        comm = widget.comm
        if hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = _as_sent


def _as_sent(_data: object, default: object) -> object:
    return default


class Delivery:
    """Whether events arrive now: always between cells, during a cell only on a subshell."""

    def __init__(self) -> None:
        self._since: float | None = time.monotonic()  # made in a cell that runs
        self._shell = shell()
        if self._shell is not None:
            self._shell.events.register("pre_run_cell", self._begun)
            self._shell.events.register("post_run_cell", self._ended)

    def _begun(self, *_: object) -> None:
        self._since = time.monotonic()

    def _ended(self, *_: object) -> None:
        self._since = None

    @property
    def works(self) -> bool:
        """False if a person's moves wait for the end of the cell."""
        since = self._since
        if since is None or self._shell is None:
            return True
        return time.monotonic() - since < SUBSHELL_WAIT_S or has_subshells()

    def close(self) -> None:
        """Stop watching cells."""
        if self._shell is not None:
            for event, callback in (("pre_run_cell", self._begun), ("post_run_cell", self._ended)):
                if callback in self._shell.events.callbacks.get(event, ()):
                    self._shell.events.unregister(event, callback)
            self._shell = None


class Screen(Protocol):
    """A place in a cell's output whose content can be replaced."""

    def show(self, bundle: Bundle) -> None:
        """Put content there for the first time, from the thread of the cell."""

    def replace(self, bundle: Bundle) -> None:
        """Put other content there, from any thread."""


class Output:
    """A place in the output of the cell that runs now.

    A program that runs a notebook hears what is said while one of its cells runs, and nothing in
    between, which is when a started run may end. So what is put there last is put there once more
    when the next cell begins.
    """

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self._by_program = False
        self._latest: Bundle = {}

    def show(self, bundle: Bundle) -> None:
        """See `Screen.show`."""
        self._by_program = surface() == "headless"
        self._publish(bundle, update=False)

    def replace(self, bundle: Bundle) -> None:
        """See `Screen.replace`."""
        if self._by_program:
            self._latest = bundle
            shell().events.register("pre_run_cell", self._again)
        self._update(bundle)

    def _again(self, *_: object) -> None:
        shell().events.unregister("pre_run_cell", self._again)
        self._update(self._latest)

    def _update(self, bundle: Bundle) -> None:
        # In no context, so that it counts as said by the cell that runs now: nbclient listens
        # to no other. Frontends with a person know the place by its id.
        contextvars.Context().run(self._publish, bundle, update=True)

    def _publish(self, bundle: Bundle, *, update: bool) -> None:
        publisher = getattr(shell(), "display_pub", None)
        if publisher is not None:
            publisher.publish(data=dict(bundle), transient={"display_id": self._id}, update=update)


def say(line: str) -> None:
    """Print a line in the cell that runs now, from any thread."""
    contextvars.Context().run(sys.stdout.write, f"{line}\n")


def bundle_of(widget: Any, text: str) -> Bundle:
    """A widget as content, with a text for where widgets cannot be shown."""
    made: dict[str, Any] = dict(widget._repr_mimebundle_())
    made["text/plain"] = text
    return made


def close_all(widgets: Iterable[object]) -> None:
    """Take widgets off the kernel's and the frontend's books, with their layouts and styles."""
    for widget in widgets:
        for part in (getattr(widget, "layout", None), getattr(widget, "style", None), widget):
            close: Callable[[], None] | None = getattr(part, "close", None)
            if close is not None:
                close()
