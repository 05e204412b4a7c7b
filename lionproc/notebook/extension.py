"""`%load_ext lionproc`: let programs that end in `asyncio.run(main())` run in a notebook's cell."""

from __future__ import annotations

from lionproc.errors import ConfigurationError, MissingDependencyError


def load(ipython: object) -> None:
    """Let a running event loop be entered once more, by way of nest-asyncio2.

    lionproc needs none of this: `df.llm.process(...)` runs on a loop of its own, and
    `await df.llm.aprocess(...)` in the notebook's. It is for programs written for a terminal,
    which a notebook otherwise refuses with "asyncio.run() cannot be called from a running event
    loop".

    What it cannot do:

    - A cell that is interrupted leaves the tasks of such a program running, and paying, until
      they end by themselves. `df.llm.process` stops within a second.
    - It changes asyncio for the whole kernel until it is restarted; there is no unloading.
    - It does not work on uvloop, whose loops cannot be changed.

    Args:
        ipython: The shell that loads the extension.

    Raises:
        ConfigurationError: The kernel's event loop cannot be changed.
        MissingDependencyError: nest-asyncio2 is not installed.
    """
    del ipython
    try:
        import nest_asyncio2
    except ImportError:
        raise MissingDependencyError(
            "%load_ext lionproc needs nest-asyncio2: pip install nest-asyncio2"
        ) from None
    try:
        nest_asyncio2.apply()
    except ValueError as error:
        raise ConfigurationError(
            f"This kernel's event loop cannot be entered twice ({error}). In a cell, write "
            "`await main()` instead of `asyncio.run(main())`."
        ) from None
