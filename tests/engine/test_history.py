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


def test_what_calls_have_in_common_counts_once_and_as_long_as_one_of_them_is_remembered():
    history = History(100)
    schemas = [object(), object(), object()]

    def asked(name, schema):
        event = finished(name, 5)
        event.call.shares = schemas[schema], MOST_CHARACTERS // 2 - 200
        history.append(event)

    for name in "abcd":
        asked(name, 0)
    asked("e", 1)
    assert names(history) == ["a", "b", "c", "d", "e"]
    asked("f", 2)  # a third one is too much, and there is less of it when the first one is gone
    assert names(history) == ["e", "f"]
    asked("g", 0)
    assert names(history) == ["f", "g"]
    for number in range(200):
        asked(str(number), 0)
    assert len(history) == 100
    assert history._size == 100 * 15 + MOST_CHARACTERS // 2 - 200


def test_none_is_remembered_where_none_is_to_be():
    history = History(0)
    history.append(finished("a", 5))
    assert names(history) == []
