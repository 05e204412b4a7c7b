"""A cluster of processes on this machine, with defaults that suit this kind of work."""

from __future__ import annotations

import importlib.util
from typing import Any

from distributed import Client

from lionproc.errors import ConfigurationError, MissingDependencyError
from lionproc.face import face

__all__ = ["local"]


@face
def local(n_workers: int = 2, *, threads_per_worker: int = 2, **options: Any) -> Client:
    """Start workers on this machine, and use them from now on.

    They are reached from this machine alone, by whoever has the certificates that are made for them
    and kept in memory (`client.security`), and no dashboard is opened. A worker sends many
    requests at once by itself: a second one helps where the CPU is the bound (thousands of
    requests a minute, large answers), or a frame does not fit into the memory of one.

    Args:
        n_workers: How many processes.
        threads_per_worker: Partitions that each has under way at the same time.
        **options: Those of `distributed.LocalCluster`, such as `memory_limit="2GB"` for each
            worker, or `dashboard_address="127.0.0.1:8787"`. With `security=False` anybody on this
            machine who finds the port has the rights of whoever started the workers, and their keys.

    Returns:
        The client, which is the one that is used from now on. Close it, or use it as a context
        manager, to end the workers.

    Raises:
        ConfigurationError: A number cannot be.
        MissingDependencyError: What makes the certificates (cryptography) is not installed.

    Example:
        ```python
        import dask.dataframe as dd
        import lionproc.dask

        ddf = dd.from_pandas(df, npartitions=2)
        with lionproc.dask.local(n_workers=1, processes=False):
            ddf.llm.process("Is {review} positive?", into="ok", schema=bool).compute()
        ```
    """
    for name, number in (("n_workers", n_workers), ("threads_per_worker", threads_per_worker)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ConfigurationError(f"{name} is a whole number from 1 on, not {number!r}.")
    usual: dict[str, Any] = {"processes": True}
    if options.get("dashboard_address") is None:
        # Without pages. What tells of health listens all the same: at a port that is free, as a
        # second cluster would be warned of the usual one, and reached from here alone.
        usual["dashboard_address"] = None
        usual["scheduler_kwargs"] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    if options.get("processes", True):
        usual["host"] = "127.0.0.1"
        if "security" not in options and "protocol" not in options:
            if importlib.util.find_spec("cryptography") is None:
                raise MissingDependencyError(
                    "Workers that only you can reach need one more package. Run: pip install "
                    "cryptography. Where nobody else is on this machine, local(security=False) does too."
                )
            usual["security"] = True  # certificates for as long as it is there
    else:  # they are reached from nowhere else, except to be asked for their health
        usual["worker_dashboard_address"] = "127.0.0.1:0"
    sizes = {"n_workers": n_workers, "threads_per_worker": threads_per_worker}
    # It ends its workers when it is closed.
    return Client(**{**usual, **sizes, **options})  # type: ignore[no-untyped-call]
