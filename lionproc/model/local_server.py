"""The child process that serves the embedded model. `lionproc.model.local` starts it.

It is run by its path and imports neither lionproc nor pandas, so that it is ready sooner and
holds nothing but the model. Settings and key come as one JSON line on stdin, never on the
command line, where every user of the machine could read them. The address goes out as one JSON
line on stdout. The end of stdin, or another parent than the first, is the end of the process:
that is what tells it about every death of the parent, `kill -9` included.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

LOOPBACK = "127.0.0.1"
PARENT_CHECK_S = 1.0
LOG_TIMEOUT_S = 2.0
LOG_CHECK_S = 0.05


def main() -> None:
    """Read the settings, serve, and end with the parent."""
    sys.tracebacklimit = 0  # a failure is shown to a person, who wants its reason
    parent = os.getppid()
    settings = json.loads(sys.stdin.readline() or "null")
    if settings is None:  # the parent died before it said anything
        return
    # llama.cpp is C++ and may write to descriptor 1 itself: give it the log, keep stdout for us.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()

    sys.path.append(settings["packages"])
    import xllamacpp

    try:
        server = xllamacpp.Server(parameters(xllamacpp.CommonParams(), settings))
    except RuntimeError:
        _wait_for_log()
        raise
    answer.write(json.dumps({"address": server.listening_address}) + "\n")
    answer.close()
    sys.stdin.read()
    os._exit(0)  # the server's threads are in the middle of C++: do not unwind them


def parameters(params: Any, settings: dict[str, Any]) -> object:
    """Fill llama.cpp's parameters.

    Args:
        params: A fresh `xllamacpp.CommonParams`.
        settings: What the parent sent: `path`, `name`, `key`, `threads`, `slots`, `context`,
            `small`.

    Returns:
        The same `params`, filled.
    """
    params.model.path = settings["path"]
    params.model_alias = {settings["name"]}
    if hasattr(params, "hostnames"):  # since xllamacpp 2026.10
        params.hostnames = [LOOPBACK]
    else:
        params.hostname = LOOPBACK
    params.port = 0
    params.api_keys = [settings["key"]]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context"] * settings["slots"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.n_threads_http = 64  # a kept-alive connection holds one, and a run may keep 32
    if settings["small"]:  # for clients that set neither: 7 of 16 texts ran on to the end
        params.sampling.penalty_repeat = 1.1
        params.sampling.penalty_last_n = 256
        params.n_predict = 512
    params.n_gpu_layers = 0
    params.fit_params = False  # sizes are given; do not probe the devices
    params.cache_ram_mib = 0  # by default up to 8 GiB of old prompts would be kept
    params.ui = False
    params.endpoint_slots = False  # it shows the prompts that are being answered
    params.cors_origins = ""
    params.offline = True
    params.verbosity = 1  # errors only
    return params


def _wait_for_log() -> None:
    # llama.cpp's reason is logged by a thread of its own, which no end of the process waits for.
    # The parent gave us a file for stderr: wait until it has text and no longer grows.
    deadline = time.monotonic() + LOG_TIMEOUT_S
    before, size = -1, 0
    while (size == 0 or size > before) and time.monotonic() < deadline:
        time.sleep(LOG_CHECK_S)
        before, size = size, os.fstat(2).st_size


def _end_with_parent(parent: int) -> None:
    # A process that the parent forked may hold our stdin open after the parent's death.
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(0)


if __name__ == "__main__":
    main()
