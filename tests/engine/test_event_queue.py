"""The queue by itself: order, room, delays, deadlines and withdrawal, on a clock that is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.event_queue import SLACK, EventQueue
from lionproc.engine.request import Event


class Call:
    key = None


def event(tag, priority=0, deadline_s=None):
    return Event(Call(), tag=tag, priority=priority, deadline_s=deadline_s)


def queue_of(*events, capacity=100):
    queue = EventQueue(capacity)
    for each in events:
        queue.add(each)
    return queue


def taken(queue):
    """All that is ready, in the order it is given."""
    return [each.tag for each in iter(queue.take, None)]


# Order


@given(st.lists(st.integers(-3, 3)))
def test_higher_priorities_go_first_and_equal_ones_in_the_order_they_came(priorities):
    queue = queue_of(*(event(tag, priority) for tag, priority in enumerate(priorities)))
    in_order = sorted(enumerate(priorities), key=lambda pair: -pair[1])  # it is stable
    assert [each.tag for each in queue] == taken(queue) == [tag for tag, _ in in_order]


def test_a_retry_that_is_due_goes_before_whatever_was_never_sent():
    queue = queue_of(event("urgent", priority=9), event("first"))
    for tag, until in (("late", 2.0), ("early", 1.0)):
        queue.delay(event(tag), until)
    assert len(queue) == 4
    assert queue.advance(2.0) == []
    assert taken(queue) == ["early", "late", "urgent", "first"]


def test_retries_that_are_due_at_once_keep_the_order_in_which_they_failed():
    queue = queue_of()
    for tag in range(5):
        queue.delay(event(tag), 1.0)
    queue.advance(1.0)
    assert taken(queue) == list(range(5))


def test_nothing_is_given_while_another_waits_for_permission_to_send():
    first, second = event("first"), event("second")
    queue = queue_of(first, second)
    queue.at_limiter = queue.take()
    queue.add(event("urgent", priority=1))
    assert queue.take() is None
    assert not queue.is_ready
    assert [each.tag for each in queue] == ["first", "urgent", "second"]
    assert len(queue) == 3
    queue.at_limiter = None
    assert queue.is_ready
    assert taken(queue) == ["urgent", "second"]
    assert not queue.is_ready


# Room


def test_it_is_full_at_its_capacity_and_delayed_events_keep_their_place():
    queue = queue_of(event(0), event(1), capacity=3)
    assert not queue.is_full
    waits = event(2)
    queue.delay(waits, 1.0)
    assert queue.is_full
    assert queue.end_delay(waits)  # a retry that is due has been let in before
    assert not queue.is_full
    assert not queue.end_delay(waits)


@pytest.mark.parametrize(("capacity", "left"), [(8, 6), (1, 0), (2, 1), (1000, 750)])
def test_a_producer_is_woken_once_a_quarter_of_the_queue_is_free(capacity, left):
    queue = queue_of(*map(event, range(capacity)), capacity=capacity)
    queue.room.clear()
    while not queue.room.is_set():
        assert queue.take() is not None
    assert len(queue) == left


def large(tag, size):
    made = event(tag)
    made.size = size
    return made


def test_it_is_full_by_bytes_too_and_one_event_may_be_larger_than_all_there_is_room_for():
    queue = EventQueue(100, capacity_bytes=10)
    queue.add(large(0, 9))
    assert not queue.is_full
    queue.add(large(1, 99))
    assert queue.is_full
    queue.room.clear()
    queue.take()
    assert queue.is_full
    assert not queue.room.is_set()
    queue.take()
    assert not queue.is_full
    assert queue.room.is_set()


def test_a_producer_is_woken_once_a_quarter_of_the_bytes_is_free():
    queue = EventQueue(100, capacity_bytes=8)
    for tag in range(8):
        queue.add(large(tag, 1))
    queue.room.clear()
    queue.take()
    assert not queue.room.is_set()
    queue.take()
    assert queue.room.is_set()


def test_no_more_bytes_are_out_at_once_than_there_is_room_for_and_one_may_always_be():
    queue = EventQueue(100, out_bytes=10)
    first, second, third = large(1, 99), large(2, 6), large(3, 6)
    for each in (first, second, third):
        queue.add(each)
    assert queue.take() is first
    assert queue.take() is None
    queue.is_back(first)
    assert queue.take() is second
    assert queue.take() is None  # smaller ones behind it do not overtake it
    queue.delay(second, 1.0)
    queue.is_back(second)
    queue.end_delay(second)
    assert queue.take() is second
    queue.is_back(second)
    assert queue.take() is third


def test_what_large_events_take_is_given_back_wherever_they_go():
    def is_as_before():
        queue.add(large("nine", 9))
        free = not queue.is_full
        queue.add(one := large("one", 1))
        full = queue.is_full
        queue.remove(one)
        queue.take()
        return free and full and len(queue) == 0

    queue = EventQueue(100, capacity_bytes=10)
    new, delayed, again = (large(name, 5) for name in ("new", "delayed", "again"))
    queue.add(new)
    for until in (1.0, 2.0):  # the second time in place of the first
        queue.delay(delayed, until)
        queue.delay(again, until)
    queue.end_delay(again)
    assert queue.is_full
    for each in (new, delayed, again):
        queue.remove(each)
    assert is_as_before()
    queue.add(new)
    queue.delay(delayed, 1.0)
    queue.clear()
    assert is_as_before()


# Time


def test_a_delayed_event_is_ready_when_its_time_has_come_and_not_before():
    queue = queue_of()
    queue.delay(event("a"), 5.0)
    assert queue.next_moment == 5.0
    queue.advance(4.999)
    assert taken(queue) == []
    queue.advance(5.0)
    assert taken(queue) == ["a"]
    assert queue.next_moment is None


def test_what_waited_beyond_its_deadline_is_told_once_and_is_the_callers_to_withdraw():
    waits, sent, done = event("waits"), event("sent"), event("done")
    queue = queue_of(waits)
    for each in (waits, sent, done):
        queue.set_deadline(each, 3.0)
    sent.state = "processing"
    done.finish()
    queue.finished(done)
    assert queue.advance(2.9) == []
    assert queue.advance(3.0) == [waits]
    assert queue.advance(9.0) == []
    assert len(queue) == 1
    queue.remove(waits)
    assert len(queue) == 0


def test_of_two_deadlines_the_later_one_counts_and_none_is_the_latest():
    queue, first = queue_of(), event("a", deadline_s=5.0)
    queue.set_deadline(first, 5.0)
    queue.extend_deadline(first, 2.0, now=1.0)
    assert (queue.next_moment, first.deadline_s) == (5.0, 5.0)
    queue.extend_deadline(first, 7.0, now=1.0)
    assert (queue.next_moment, first.deadline_s) == (8.0, 7.0)
    assert queue.advance(7.9) == []
    queue.extend_deadline(first, None, now=7.9)
    assert queue.next_moment is None
    queue.extend_deadline(first, 1.0, now=7.9)  # whoever waits for ever still does
    assert queue.next_moment is None


def test_a_delay_that_was_ended_and_begun_again_counts_from_then():
    queue, waits = queue_of(), event("a")
    queue.delay(waits, 1.0)
    queue.end_delay(waits)
    assert queue.take() is waits
    queue.delay(waits, 10.0)
    queue.advance(1.0)
    assert queue.take() is None
    assert queue.next_moment == 10.0


def test_deadlines_that_came_to_nothing_are_not_held_for_ever():
    queue = queue_of()
    for tag in range(1000):
        each = event(tag)
        queue.set_deadline(each, 3600.0 + tag)
        queue.finished(each)
        assert len(queue._moments) <= SLACK + 3
    assert queue.next_moment is None


# Withdrawal


def test_an_event_is_taken_out_wherever_it_waits_and_makes_room():
    new, delayed, again = event("new"), event("delayed"), event("again")
    queue = queue_of(new, event("stays"))
    for each in (delayed, again):
        queue.delay(each, 1.0)
    queue.end_delay(again)
    queue.room.clear()
    for each in (new, delayed, again):
        queue.remove(each)
    assert queue.room.is_set()
    queue.advance(1.0)
    assert taken(queue) == ["stays"]


def test_clearing_gives_all_that_waits_in_its_order_and_wakes_the_producers():
    new, delayed, again = event("new"), event("delayed"), event("again")
    queue = queue_of(new)
    for each in (delayed, again):
        queue.delay(each, 1.0)
    queue.end_delay(again)
    queue.room.clear()
    assert queue.clear() == [again, delayed, new]
    assert queue.room.is_set()
    assert len(queue) == 0
    assert queue.next_moment is None


def test_who_waits_for_room_is_called_when_what_was_delayed_is_due():
    queue = queue_of(capacity=2)
    late = [event("late"), event("later")]
    for each in late:
        queue.delay(each, 1.0)
    queue.room.clear()
    assert queue.is_full
    queue.end_delay(late[0])
    assert queue.room.is_set()
    queue.room.clear()
    assert queue.advance(1.0) == []
    assert queue.room.is_set()
