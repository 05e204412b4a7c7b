"""A real kernel, and a frontend that is made of messages.

Loaded by its path (`conftest.py`): tests are no package.
"""

from __future__ import annotations

import os
import queue
import time
from typing import Any

from jupyter_client.manager import KernelManager

WAIT_S = 30.0


class Frontend:
    """Talks to a kernel of its own as JupyterLab does, or as one that knows no subshells."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.widgets: dict[str, dict[str, Any]] = {}  # comm id -> state
        self.seen: list[dict[str, Any]] = []
        self.subshell: str | None = None

    def begin(self, *, subshell: bool) -> None:
        """Forget what was seen, and talk from now on as one that knows subshells or not."""
        if subshell and self.subshell is None:
            reply = self._ask("create_subshell_request")
            self.subshell = reply["content"]["subshell_id"]
        elif self.subshell is not None and not subshell:
            self._ask("delete_subshell_request", subshell_id=self.subshell)
            self.subshell = None
        self.widgets.clear()
        self.seen.clear()

    def _ask(self, kind: str, **content: str) -> Any:
        self.client.control_channel.send(self.client.session.msg(kind, content))
        return self.client.control_channel.get_msg(timeout=WAIT_S)

    def run(self, code: str) -> str:
        """Start a cell; gives what `idle` waits for."""
        return str(self.client.execute(code, allow_stdin=True))

    def send(self, comm: str, data: dict[str, Any]) -> None:
        """What a person does with a widget."""
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)

    def set(self, comm: str, **state: Any) -> None:
        """Set traits of a widget."""
        self.send(comm, {"method": "update", "state": state, "buffer_paths": []})

    def until(self, condition: Any, what: str) -> None:
        """Take messages in until a condition holds; it is asked after each."""
        end = time.monotonic() + WAIT_S
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"Not within {WAIT_S} s: {what}. Seen: {self.text()[-2000:]}"
            try:
                self._take(self.client.iopub_channel.get_msg(timeout=min(left, 1.0)))
            except queue.Empty:
                continue

    def _take(self, message: dict[str, Any]) -> None:
        self.seen.append(message)
        content = message["content"]
        if message["msg_type"] == "comm_open":
            self.widgets[content["comm_id"]] = dict(content["data"].get("state", {}))
        elif message["msg_type"] == "comm_msg" and content["data"].get("method") == "update":
            self.widgets.setdefault(content["comm_id"], {}).update(content["data"]["state"])

    def idle(self, request: str) -> bool:
        """Whether a cell has ended."""
        return any(
            message["msg_type"] == "status"
            and message["content"]["execution_state"] == "idle"
            and message["parent_header"].get("msg_id") == request
            for message in self.seen
        )

    def find(self, **state: Any) -> str | None:
        """The comm of the widget whose state holds all these."""
        for comm, known in self.widgets.items():
            if all(known.get(name) == value for name, value in state.items()):
                return comm
        return None

    def says(self, text: str) -> bool:
        """Whether any widget shows a text."""
        return any(text in str(state.get("value", "")) for state in self.widgets.values())

    def outputs(self, kind: str) -> list[dict[str, Any]]:
        """The content of all messages of a kind."""
        return [message["content"] for message in self.seen if message["msg_type"] == kind]

    def text(self) -> str:
        """What was printed, and errors."""
        printed = "".join(content["text"] for content in self.outputs("stream"))
        return printed + "".join(
            f"{content['ename']}: {content['evalue']}" for content in self.outputs("error")
        )

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
