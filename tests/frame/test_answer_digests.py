"""Digests of answers: equal for equal answers, however many of a column are the same."""

import tracemalloc

import numpy as np
import pandas as pd

from lionproc.frame.answer_digests import digests_of


def test_a_text_has_one_digest_whether_its_column_repeats_it_or_not():
    once = pd.Series(["yes", "no", None, *map(str, range(40))], dtype="string")
    alone = digests_of(once)
    assert len(set(alone)) == len(once)
    assert alone[2] == 0
    places = np.arange(5000) % 4
    assert (digests_of(once.iloc[places]) == alone[places]).all()
    as_objects = [None if text is pd.NA else text for text in once]
    assert (digests_of(pd.Series(as_objects, dtype=object)) == alone).all()


def test_of_many_long_texts_few_are_objects_at_one_time():
    texts = pd.Series([f"{n} {'word ' * 200}" for n in range(8000)], dtype="string[pyarrow]")
    tracemalloc.start()
    try:
        digests = digests_of(texts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(digests)) == 8000
    assert peak < 3_000_000  # all of them have 9 MB
