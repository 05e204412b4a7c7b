"""How the votes on a row stood, in the words in which the journal keeps it."""

import pytest

from lionproc.errors import Kind
from lionproc.frame.stood import Stood, read, written


@pytest.mark.parametrize("kind", list(Kind))
def test_what_was_written_is_read(kind):
    stood = [Stood(0, 1764453600.1234567), Stood(11, kind), Stood(2, 0.1 + 0.2)]
    assert read(written(stood), votes=3, leaves=12) == stood


@pytest.mark.parametrize(
    "words",
    [
        "",
        "0",
        "0 0",
        "0:1",
        "0:1 0:1 0:1",
        "0:1 0:1 0:1 " * 100_000,
        "0:1 2:1",
        "0:1 -1:1",
        "0:1 x:1",
        "0:1 1:",
        "0:1 1:what",
        "0:1 1.0:1",
        "0:1 " + "9" * 9000 + ":1",
        "0:1 1:" + "1_" * 9000,
    ],
)
def test_words_that_are_not_ours_say_nothing(words):
    assert read(words, votes=2, leaves=2) == []
