"""What separates the cells of CSV is told from its first line, names in quotation marks aside."""

import pytest

from lionproc.frame.separator import separator_of


@pytest.mark.parametrize(
    ("first", "separator"),
    [
        ("a,b", ","),
        ("a b; c", ";"),
        ('"a;b;c",d', ","),
        ('\ufeff"a;b;c",d', ","),
        ('id, "a;b;c"', ","),
        ('"a ""b"", c";"d"', ";"),
        ("a\tb|c\td", "\t"),
        ("one", ","),
    ],
)
def test_the_sign_that_stands_most_often_beyond_quotation_marks_separates(first, separator):
    assert separator_of(f"{first}\n1;1;1;1|1|1|1\n") == separator
