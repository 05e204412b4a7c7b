"""Where a question goes is decided in the notebook; a worker that would send it elsewhere refuses.

A `Model` without `base_url=` takes its address and account from the environment, and each worker has
one of its own. What estimate() and preview() said is true of where the notebook would send rows, and
a key that it was given (`api_key=`) belongs to that address. So the notebook's destination travels
with the question, and is compared before a worker has that key. Proxies belong to the network that
a machine is in, and are each worker's own.
"""

from __future__ import annotations

import socket

from lionproc.errors import ModelError
from lionproc.model.composed import singles_of
from lionproc.model.model import Model
from lionproc.model.opening import destination_of

__all__ = ["check_destinations", "destinations_of"]


def destinations_of(model: Model) -> tuple[str, ...]:
    """Where this process would send to, for each single model in it; see `destination_of`.

    Raises:
        ModelError: The environment names no address, or one that cannot be.
        MissingDependencyError: What its proxy needs is not installed.
    """
    return tuple(map(destination_of, singles_of(model)))


def check_destinations(model: Model, wanted: tuple[str, ...]) -> None:
    """Refuse to send from here what was meant for another address or account.

    Args:
        model: Who is to answer.
        wanted: Where that is, as the notebook said.

    Raises:
        ModelError: This process would send it elsewhere.
    """
    for each, there in zip(singles_of(model), wanted, strict=True):
        here = destination_of(each)
        if here != there:
            raise ModelError(
                f"Nothing was sent: {_difference(here, there)}. Workers take OPENAI_BASE_URL, "
                "OPENAI_ORG_ID, OPENAI_PROJECT_ID, OPENAI_CUSTOM_HEADERS, AZURE_OPENAI_ENDPOINT and "
                "OPENAI_API_VERSION from their own environment. Set there what the notebook has "
                "(lionproc.dask.local() hands on what is set before it), or give Model(..., "
                "base_url=..., api_key=...), which goes along. Where they were changed after "
                "process() was called, call it again."
            )


def _difference(here: str, there: str) -> str:
    by = f"the process that was to ask, on {socket.gethostname()!r},"
    address, meant = here.partition(" ")[0], there.partition(" ")[0]
    if address == meant:
        return (
            f"{by} would ask {address!r} for another account (organization, project or headers) "
            "than process() was called for"
        )
    return f"process() was called for {meant!r}, and {by} would ask {address!r}"
