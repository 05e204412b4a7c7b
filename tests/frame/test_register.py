"""`.llm` where another package wants that name too."""

import warnings

import pandas as pd
import pytest
from pandas.api.extensions import register_dataframe_accessor

import lionproc as lp
from lionproc.errors import ConfigurationError, LionprocWarning
from lionproc.frame import register as registering
from lionproc.frame.accessor import FrameAccessor
from lionproc.frame.series_accessor import SeriesAccessor


class Theirs:
    """An accessor as another package would have it."""

    __module__ = "other_package.frames"

    def __init__(self, frame):
        self.frame = frame


@pytest.fixture
def frame():
    """A frame; whatever is registered in a test is gone after it, and whom it belonged to."""
    ours = pd.DataFrame.__dict__["llm"], pd.Series.__dict__["llm"]
    yield pd.DataFrame({"text": ["a"]})
    registering._others.clear()
    registering._names[:] = ["llm"]
    for kind, descriptor in zip((pd.DataFrame, pd.Series), ours, strict=True):
        kind.llm = descriptor
        if "lp" in kind.__dict__:
            del kind.lp
            kind._accessors.discard("lp")


def take_llm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        register_dataframe_accessor("llm")(Theirs)


def test_who_is_imported_last_has_the_name_and_says_who_had_it_and_how_to_have_both(frame):
    take_llm()
    with pytest.warns(LionprocWarning, match=r"belonged to other_package\.frames.*lp\.register"):
        lp.register()
    assert isinstance(frame.llm, FrameAccessor)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lp.register()  # our own is no stranger
        lp.register("lp")
    frame = frame.copy()  # pandas before 3 keeps the accessor that a frame had
    assert isinstance(frame.llm, Theirs)
    assert isinstance(frame.lp, FrameAccessor)
    assert isinstance(frame["text"].lp, SeriesAccessor)
    assert isinstance(frame["text"].llm, SeriesAccessor)  # of series nobody else wanted it


def test_another_that_comes_later_keeps_the_name(frame):
    take_llm()
    lp.register("lp")
    assert isinstance(frame.llm, Theirs)
    assert isinstance(frame.lp, FrameAccessor)


@pytest.mark.parametrize("name", ["plot", "sum", "str", "values", "_lp", "1p", "", None])
def test_a_name_that_is_pandas_own_or_cannot_be_is_refused(frame, name):
    with pytest.raises(ConfigurationError, match="lp"):
        lp.register(name)
    assert isinstance(frame.llm, FrameAccessor)


def test_a_name_that_is_no_accessor_at_all_does_not_keep_the_package_from_being_imported(frame):
    pd.DataFrame.llm = property(lambda frame: "theirs")
    with pytest.warns(LionprocWarning, match="belonged to another package"):
        lp.register()
    assert isinstance(frame.llm, FrameAccessor)
