"""Dask, imported by the first test that wants it: it takes a second, and every worker of a suite
reads all files."""

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def dd():
    pytest.importorskip("distributed")
    frames = pytest.importorskip("dask.dataframe")
    import lionproc.dask  # noqa: F401

    return frames


@pytest.fixture(scope="session")
def keeps_storage():
    """pandas before 3 reads text in a storage of its own, whatever was written."""
    return pd.StringDtype() == pd.StringDtype("pyarrow")
