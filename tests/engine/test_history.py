"""An executor that lives for long remembers the latest of what it did, and not all of it."""

from types import SimpleNamespace

from lionproc.engine.history import MOST_CHARACTERS, History


def finished(name, length):
    return SimpleNamespace(name=name, size=10, call=SimpleNamespace(length=length))


def names(history):
    return [event.name for event in history]


def test_the_latest_are_remembered_the_oldest_first():
    history = History(3)
    for name in "abcde":
        history.append(finished(name, 5))
    assert (names(history), len(history)) == (["c", "d", "e"], 3)


def test_fewer_are_remembered_where_their_replies_are_long_but_one():
    history = History(10)
    for name in "abcd":
        history.append(finished(name, MOST_CHARACTERS // 2))
    assert names(history) == ["d"]
    history.append(finished("e", 5))
    assert names(history) == ["d", "e"]
    history.append(finished("f", 2 * MOST_CHARACTERS))
    assert names(history) == ["f"]


def test_none_is_remembered_where_none_is_to_be():
    history = History(0)
    history.append(finished("a", 5))
    assert names(history) == []
