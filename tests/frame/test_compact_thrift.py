"""Records of Thrift, of which somebody else may have written each byte."""

import pytest

from lionproc.frame.compact_thrift import record, unsigned

SKIPPED = {
    "a byte": b"\x13\x07",
    "a double": b"\x17" + bytes(8),
    "a text": b"\x18\x03abc",
    "a list of numbers": b"\x19\x25\x02\x04",
    "a long list of truths": b"\x19\xf1\x10" + bytes(16),
    "a set of texts": b"\x1a\x18\x01a",
    "a map": b"\x1b\x01\x85\x01a\x02",
    "an empty map": b"\x1b\x00",
    "a list of records": b"\x19\x2c\x15\x02\x00\x00",
}


@pytest.mark.parametrize("kind", SKIPPED)
def test_a_field_that_nobody_asks_for_is_passed_over(kind):
    data = SKIPPED[kind] + b"\x15\x0e\x00"
    assert record(data, 0) == ({1: None, 2: 7}, len(data))
    for end in range(len(data)):
        with pytest.raises(IndexError):
            record(data[:end], 0)


def test_numbers_truths_and_records_are_read():
    data = b"\xff\x15\x03\x16\x80\x01\x14\x01\x11\x12\x1c\x15\x02\x00\x05\x50\x0a\x00"
    fields = {1: -2, 2: 64, 3: -1, 4: True, 5: False, 6: {1: 1}, 40: 5}
    assert record(data, 1) == (fields, len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",  # a number without an end
        b"\x15\x02\x05\x02\x02\x00",  # the first field once more
        b"\x1d\x00",  # a kind that there is not
        b"\x1c" * 100,
        b"\x19\x19" * 100,
    ],
)
def test_what_no_writer_makes_is_an_error(data):
    with pytest.raises(ValueError, match=r"^(a|the fields of a|records) "):
        record(data, 0)


def test_a_list_that_says_it_is_endless_ends_with_the_bytes():
    with pytest.raises(IndexError):
        record(b"\x19\xfc\xff\xff\xff\xff\x07", 0)


def test_a_number_may_be_longer_than_it_has_to_be():
    assert unsigned(b"\x85\x80\x80\x00", 0) == (5, 4)
