"""Names and objects of which Arrow would make far more than they have in them."""

import struct

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import lionproc as lp
from lionproc.errors import ColumnError
from lionproc.frame.arrow_fields import are_names_quick, check_cells

_MASK = 2**64 - 1
_FACTOR = 0xC6A4A7935BD1E995


def of_one_hash(many, behind=b""):
    """Names of 16 letters which `std::hash` of GNU, a MurmurHash64A whose seed is known, cannot tell apart.

    Eight letters are anything, and the other eight are worked out from them.

    Args:
        many: How many.
        behind: What stands before each when it is looked up, fewer than eight letters.
    """
    first_word = behind.ljust(8, b"x") if behind else b""
    made = []
    word = np.uint64
    begun = (0xC70F6907 ^ ((16 + len(first_word)) * _FACTOR)) & _MASK
    if first_word:
        said = int.from_bytes(first_word, "little") * _FACTOR & _MASK
        begun = (begun ^ ((said ^ said >> 47) * _FACTOR & _MASK)) * _FACTOR & _MASK
    start = word(begun)
    wanted, factor = word(0x1234567890ABCDEF), word(_FACTOR)
    inverse = word(pow(_FACTOR, -1, 2**64))
    step = 0
    while len(made) < many:
        numbers = np.arange(step, step + 1_000_000, dtype=word)
        step += 1_000_000
        first = np.zeros_like(numbers)
        for place in range(8):
            first |= (numbers >> word(7 * place) & word(0x7F)) << word(8 * place)
        with np.errstate(over="ignore"):
            mixed = first * factor
            mixed = (mixed ^ mixed >> word(47)) * factor
            second = (((start ^ mixed) * factor) ^ wanted) * inverse
            second = (second ^ second >> word(47)) * inverse
        are_ascii = second & word(0x8080808080808080) == 0
        pairs = zip(first[are_ascii].tolist(), second[are_ascii].tolist(), strict=True)
        more = first_word[len(behind) :]
        made += [(more + struct.pack("<QQ", *pair)).decode() for pair in pairs]
    return made[:many]


CHOSEN = of_one_hash(6_000)


def saved(frame, server, tmp_path):
    model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
    return frame.llm.process("Of {text}", "a", model=model, save=tmp_path / "out.parquet")


def test_names_of_columns_that_arrow_finds_one_by_one_are_refused_before_anything_is_sent(
    server, tmp_path
):
    frame = pd.DataFrame(np.zeros((1, len(CHOSEN))), columns=CHOSEN).assign(text="a")
    with pytest.raises(ColumnError, match="names of the columns were made so that"):
        saved(frame, server, tmp_path)
    assert server.counters.total == 0


def test_a_column_for_each_gene_is_ordinary():
    assert are_names_quick({f"ENSG{number:011}" for number in range(40_000)})
    assert are_names_quick({chr(0xD800), *map(str, range(40_000))})


def test_keys_that_differ_from_row_to_row_are_refused_before_arrow_makes_a_column_of_each(
    server, tmp_path
):
    bought = [{f"customer {number}": 1} for number in range(20_000)]
    frame = pd.DataFrame({"text": "a", "bought": bought})
    with pytest.raises(
        ColumnError, match="'bought' cannot be saved as parquet: its objects have 20,000 d"
    ):
        saved(frame, server, tmp_path)
    assert server.counters.total == 0


@pytest.mark.parametrize("cells", [
    [{"a": {f"{number}": 1}} for number in range(20_000)],
    [[{f"{number}": 1}] for number in range(20_000)],
    [{"a": [({f"{number}": 1}, None)]} for number in range(20_000)],
    [np.array([{f"{number}": 1}, None]) for number in range(20_000)],
    [dict.fromkeys(CHOSEN, 1)],
    [{"a": [{name: 1} for name in CHOSEN]}],
    [dict.fromkeys(of_one_hash(6_000, b"cells."), 1)],
], ids=[
    "in objects", "in lists", "in tuples", "in arrays", "chosen", "chosen in lists", "with the name",
])  # fmt: skip
def test_the_same_is_seen_wherever_objects_are(cells):
    with pytest.raises(ColumnError, match=r"the keys of its objects|different keys"):
        check_cells(pd.DataFrame({"cells": pd.Series(cells, dtype=object)}))


def test_what_columns_of_objects_become_counts_together():
    cells = [{f"customer {number}": 1} for number in range(1_600)]
    check_cells(pd.DataFrame({"a": cells, "b": cells}))
    with pytest.raises(ColumnError, match="Column 'd' cannot be saved as parquet"):
        check_cells(pd.DataFrame({"a": cells, "b": cells, "c": cells, "d": cells}))


def test_an_object_that_holds_itself_is_no_column(server, tmp_path):
    cell: dict[str, object] = {}
    cell["itself"] = [cell]
    with pytest.raises(ColumnError, match="it is nested too deeply"):
        saved(pd.DataFrame({"text": ["a"], "cell": [cell]}), server, tmp_path)
    assert server.counters.total == 0


def test_objects_with_some_keys_of_many_are_saved_as_they_are(server, tmp_path):
    cells = [{f"{number % 50}": number, "same": {"of": [number]}} for number in range(500)]
    frame = pd.DataFrame({"text": "a", "cells": cells})
    saved(frame, server, tmp_path)
    back = pq.read_table(tmp_path / "out.parquet")["cells"].to_pylist()
    assert [
        {key: value for key, value in cell.items() if value is not None} for cell in back
    ] == cells
