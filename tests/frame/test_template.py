"""Templates by themselves: what text in braces means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.errors import PromptError
from lionproc.template import VALUE, Names, parse, placeholder

odd = st.text(alphabet="{} ax.[:!", min_size=1, max_size=6)


def fields(template, *columns, each=False):
    return parse(template, Names(columns, each=each))


@given(odd)
def test_a_column_is_found_by_its_placeholder_whatever_it_is_called(name):
    literals, found = fields(f"<{placeholder(name)}>", name, "review")
    assert (literals, found) == (["<", ">"], [name])


@pytest.mark.parametrize("name", ["{x", "x}", "{x}", "}", "{", "{{", "a{b", "a}b"])
def test_a_name_with_braces_is_found_between_others(name):
    template = f"a{placeholder(name)}b{placeholder('y')}c"
    assert fields(template, "y", name) == (["a", "b", "c"], [name, "y"])


@pytest.mark.parametrize(
    ("template", "column"),
    [
        ("{x}", "x"),
        ("{ x }", "x"),
        ("{   x   }", "x"),
        ("{ x}", " x"),  # as it stands there goes first
        ("{  x }", " x"),  # then without one space on each side
        ("{ x  }", "x "),
    ],
)
def test_the_nearest_reading_of_spaces_holds(template, column):
    assert fields(template, "x", " x", "x ") == (["", ""], [column])


def test_a_short_name_does_not_hide_one_that_is_long():
    long = "b" * 500
    assert fields(f"{{a}}{{{long}}}", "a", long)[1] == ["a", long]
    braces = "{" * 200
    assert fields(placeholder(braces), "a", braces)[1] == [braces]


def test_doubled_braces_are_text_up_to_the_last_character():
    assert fields('{{"a": {x}}}', "x") == (['{"a": ', "}"], ["x"])
    assert fields("{x}{{", "x") == (["", "{"], ["x"])


def test_value_is_the_cell_and_goes_before_a_column_called_so():
    assert fields("{value}", "value", each=True)[1] == [VALUE]
    assert fields("{value}", "value")[1] == ["value"]


def test_a_label_that_is_no_text_is_written_as_it_prints_unless_a_text_is_the_same():
    assert fields("{0}{a, b}", 0, ("a", "b"))[1] == [0, ("a", "b")]
    assert fields("{0}", 0, "0")[1] == ["0"]


def refused(template, *columns):
    with pytest.raises(PromptError) as caught:
        fields(template, *columns)
    return str(caught.value)


def test_a_long_name_that_is_unknown_is_shown_in_short():
    assert "There is no column '" + "y" * 37 + "...'" in refused("{" + "y" * 41 + "}", "x")
    assert "There is no column '" + "y" * 40 + "'" in refused("{" + "y" * 40 + "}", "x")


@pytest.mark.parametrize("line", ["{y}", "{y} and more", "say {y}", "a" * 50 + "{y}" + "b" * 50])
def test_the_caret_stands_below_the_brace(line):
    said = refused(f"first\n{line}\nlast {{x}}", "x").splitlines()
    place = line.index("{")
    assert said[0].endswith(f"(line 2, position {place + 1}):")
    assert said[2].index("^") == said[1].index("{")
    assert said[1].strip() in line
    assert "first" not in said[1]
    assert "last" not in said[1]


def test_columns_that_print_alike_are_refused_by_name_only_when_they_are_meant():
    assert fields("{x}", "x", 1, 1.0)[1] == ["x"]
    assert "More than one column is called '1'" in refused("{1}", "x", 1, 1)


def test_very_many_doubled_braces_are_read_at_once():
    """Each was appended to all before it: two million took a minute."""
    literals, found = fields("{{}}" * 2_000_000 + "{review}", "review")
    assert literals == ["{}" * 2_000_000, ""]
    assert found == ["review"]
