"""Answers against gold: the numbers are those of others, and nothing is left out in silence."""

import json
import sys
import tracemalloc
from decimal import Decimal
from enum import Enum
from typing import Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.texmanager import TexManager
from matplotlib.text import Text

import lionproc as lp
from lionproc.errors import ColumnError, ConfigurationError, MissingDependencyError
from lionproc.testing import Server

LABELS = ["bad", "fair", "good"]


def random_frame(seed, rows=300):
    rng = np.random.default_rng(seed)
    gold = rng.choice(LABELS, rows, p=[0.5, 0.1, 0.4])
    said = np.where(rng.random(rows) < 0.7, gold, rng.choice(LABELS, rows))
    return pd.DataFrame({"said": pd.Categorical(said, categories=LABELS), "gold": gold})


@pytest.mark.parametrize("seed", range(3))
def test_labels_have_the_numbers_of_scikit_learn(seed):
    from sklearn import metrics

    frame = random_frame(seed)
    score, gold, said = frame.llm.score("said", gold="gold"), frame["gold"], frame["said"]
    assert score.accuracy == metrics.accuracy_score(gold, said)
    assert score.kappa == pytest.approx(metrics.cohen_kappa_score(gold, said))
    assert score.f1 == pytest.approx(metrics.f1_score(gold, said, average="macro"))
    report = metrics.classification_report(gold, said, output_dict=True)
    for label in LABELS:
        theirs = [report[label][name] for name in ("precision", "recall", "f1-score", "support")]
        assert score.table.loc[label].tolist() == pytest.approx(theirs)
    assert (score.confusion.to_numpy() == metrics.confusion_matrix(gold, said)).all()
    assert (score.confusion.index.name, score.confusion.columns.name) == ("gold", "said")


def test_labels_with_half_a_character_are_scored_and_looked_at():
    """As `json.loads` makes them; no column of texts of Arrow has them."""
    cells = pd.Series(["yes", "\ud800 no", "no", "yes"], dtype=object)
    frame = pd.DataFrame({"said": cells, "gold": cells, "part": cells})
    score = frame.llm.score("said", gold="gold", by="part")
    assert score.accuracy == 1.0
    assert score.table.index.tolist() == ["no", "yes", "\ufffd no"]
    assert "\ufffd no" in score._repr_html_()
    assert not len(frame.llm.check("said"))


def test_a_label_that_is_nowhere_is_neither_right_nor_wrong():
    said = pd.Categorical(["a", "b"], categories=["a", "b", "never"])
    score = pd.DataFrame({"said": said, "gold": ["a", "b"]}).llm.score("said", gold="gold")
    assert score.f1 == 1.0
    assert score.table.loc["never", ["precision", "recall", "f1"]].isna().all()


def test_kappa_is_unknown_where_there_is_one_label_only():
    score = pd.DataFrame({"said": ["a"] * 3, "gold": ["a"] * 3}).llm.score("said", gold="gold")
    assert (score.accuracy, score.kappa, score.confusion.loc["a", "a"]) == (1.0, None, 3)


def test_a_missing_answer_is_counted_apart_and_said():
    frame = pd.DataFrame({"said": ["a", "b", None, "a", None], "gold": ["a", "a", "b", None, None]})
    score = frame.llm.score("said", gold="gold")
    assert (score.rows, score.n, score.missing, score.right) == (5, 2, 1, 1)
    assert (score.accuracy, score.accuracy_with_missing) == (0.5, 1 / 3)
    for shown in (repr(score), score._repr_html_()):
        assert "2 with gold and an answer, 1 with gold and no answer, 2 without gold" in shown
        assert "50.0 % (95 % interval 9.5 to 90.5 %), 33.3 % with missing answers as wrong" in shown


def test_without_one_answer_nothing_is_claimed():
    frame = pd.DataFrame({"said": pd.array([None, None], dtype="string"), "gold": ["a", None]})
    score = frame.llm.score("said", gold="gold")
    assert (score.n, score.missing, score.accuracy, score.f1, score.kappa) == (
        0,
        1,
        None,
        None,
        None,
    )
    assert score.shares is None
    assert "no answer to score, 1 row with gold have none" in repr(score)
    with pytest.raises(ConfigurationError, match="nothing to draw"):
        score.plot()


def test_the_wrong_rows_are_there_whole_the_most_confident_first():
    frame = pd.DataFrame(
        {
            "text": list("uvwxy"),
            "said": ["a", "b", "a", "b", "a"],
            "said_confidence": pd.array([0.9, 0.6, None, 0.99, 0.7], dtype="Float64"),
            "gold": ["a", "a", "b", "a", "b"],
        },
        index=[7, 7, 8, 9, 9],
    )
    wrong = frame.llm.score("said", gold="gold").wrong
    assert list(wrong.columns) == ["gold", "said", "said_confidence", "text"]
    assert wrong["text"].tolist() == ["x", "y", "v", "w"]
    assert wrong.index.tolist() == [9, 9, 7, 8]


def test_numbers_have_errors_and_a_correlation():
    frame = pd.DataFrame(
        {
            "said": pd.array([1, 2, 5, 4, None], dtype="Int64"),
            "gold": [1.0, 3.0, 3.0, np.nan, 2.0],
        }
    )
    score = frame.llm.score("said", gold="gold")
    assert (score.measure, score.n, score.missing, score.accuracy) == ("numbers", 3, 1, None)
    assert (score.mae, score.bias) == (1.0, pytest.approx(1 / 3))
    assert score.rmse == pytest.approx(np.sqrt(5 / 3))
    assert score.r == pytest.approx(np.corrcoef([1, 2, 5], [1, 3, 3])[0, 1])
    assert score.wrong["said"].tolist() == [5, 2]  # the farthest off first
    assert "0.333 too high on average" in repr(score)


def test_one_very_large_number_ends_no_score_and_makes_no_error_infinite():
    long = Decimal(10**29 - 1)
    decimals = pd.DataFrame(
        {"said": pd.array([long, Decimal("9.5"), None], pd.ArrowDtype(pa.decimal128(38, 9))),
         "gold": [long, Decimal("7.5"), Decimal("1E+99")]}
    )  # fmt: skip
    assert decimals.llm.score("said", gold="gold").wrong["said"].tolist() == [Decimal("9.5")]
    endless = decimals.assign(gold=[long, 7, Decimal("1E+999999999")])
    with pytest.raises(ConfigurationError, match="too large to compute with"):
        endless.llm.score("said", gold="gold")
    floats = pd.DataFrame({"said": [1e308, 2.0, 4.0], "gold": [5e307, 2.0, 3.0]})
    score = floats.llm.score("said", gold="gold")
    assert score.mae == score.bias == pytest.approx(5e307 / 3)
    assert score.rmse == pytest.approx(5e307 / np.sqrt(3))
    assert score.r == pytest.approx(1.0)


IDS = [1734567890123456789, 1734567890123456790, 2**53 + 1, 5, 6]
NEAR = [1734567890123456788, 1734567890123456790, 2**53, 5, 7]  # 0, 2 and 4 are off by 1
BEYOND = [10**20 + each for each in (1, 2, 3, 4, 5)], [10**20 + each for each in (0, 2, 2, 4, 6)]
HALVES = [Decimal(2**53) + Decimal(n) / 2 for n in (3, 4, 5, 6, 7)]
OFF_HALVES = [Decimal(2**53) + Decimal(n) / 2 for n in (1, 4, 3, 6, 9)]


@pytest.mark.parametrize(
    ("said", "gold"),
    [
        (pd.array(NEAR, dtype="Int64"), pd.array(IDS, dtype="Int64")),
        (NEAR, pd.array(IDS, dtype=pd.ArrowDtype(pa.uint64()))),
        (np.array(NEAR, np.uint64), [Decimal(each) for each in IDS]),
        (pd.Series(BEYOND[1], dtype=object), pd.Series(BEYOND[0], dtype=object)),
        (pd.array(OFF_HALVES, pd.ArrowDtype(pa.decimal128(38, 9))), HALVES),
        ([2.0**53, 1.0, 2.0**54, 3.0, 4.0], [2**53 + 1, 1, 2**54 + 1, 3, 5]),
    ],
)
def test_whole_numbers_and_decimals_are_scored_with_all_of_their_digits(said, gold):
    frame = pd.DataFrame({"said": said, "gold": gold})
    score = frame.llm.score("said", gold="gold")
    assert score.wrong.index.tolist() == [0, 2, 4]
    assert score.mae == pytest.approx(3 / 5)
    assert score.rmse == pytest.approx(np.sqrt(3 / 5))


def test_decimals_beside_gold_of_floats_are_compared_with_the_digits_of_floats():
    said = [Decimal("0.1"), Decimal("0.3333333333333333333333333333"), Decimal("0.25")]
    frame = pd.DataFrame({"said": said, "gold": [0.1, 1 / 3, 0.75]})
    assert frame.llm.score("said", gold="gold").wrong.index.tolist() == [2]


def test_lists_and_records_name_no_slices():
    kinds = {"lists": pa.list_(pa.string()), "records": pa.struct({"a": pa.int64()})}
    frame = pd.DataFrame({"said": ["x", "y"], "gold": ["x", "x"], "plain": [["a"], ["b"]]})
    frame["lists"] = pd.array([["a"], ["b"]], pd.ArrowDtype(kinds["lists"]))
    frame["records"] = pd.array([{"a": 1}, {"a": 2}], pd.ArrowDtype(kinds["records"]))
    for name in ("plain", "lists", "records"):
        with pytest.raises(ConfigurationError, match=rf"by: '{name}' has lists.*map"):
            frame.llm.score("said", gold="gold", by=name)
        texts = frame.assign(by=frame[name].map(str))
        assert len(texts.llm.score("said", gold="gold", by="by").slices) == 2


def test_lists_have_precision_and_recall_over_their_items():
    said = pd.Series([["a", "b"], ["c"], [], ["d", "d"], None])
    frame = pd.DataFrame({"said": said, "gold": [["b", "a"], ["c", "x"], [], ["d"], ["e"]]})
    frame["arrow"] = frame["said"].astype(pd.ArrowDtype(pa.list_(pa.string())))
    for name in ("said", "arrow"):
        score = frame.llm.score(name, gold="gold")
        assert (score.n, score.missing, score.right) == (4, 1, 2)
        assert (score.precision, score.recall, score.f1) == (4 / 5, 4 / 5, 4 / 5)
        assert score.table.loc["d"].tolist() == [0.5, 1.0, pytest.approx(2 / 3), 1]
        assert score.wrong.index.tolist() == [1, 3]


def test_lists_that_are_all_empty_are_all_right_and_have_no_items():
    frame = pd.DataFrame({"said": [[], []], "gold": [[], []]})
    score = frame.llm.score("said", gold="gold")
    assert (score.accuracy, score.precision, score.recall, score.f1) == (1.0, None, None, None)
    assert "unknown of the items" not in repr(score)
    with pytest.raises(ConfigurationError, match="all lists are empty"):
        score.plot()


def test_slices_have_their_own_numbers_a_missing_one_too():
    frame = pd.DataFrame(
        {
            "said": ["a", "b", "a", None, "a"],
            "gold": ["a", "a", "a", "a", None],
            "land": ["x", "x", None, None, "y"],
        }
    )
    slices = frame.llm.score("said", gold="gold", by="land").slices
    assert slices["n"].tolist() == [2, 0, 1]
    assert slices["missing"].tolist() == [0, 0, 1]
    assert slices["accuracy"].tolist() == [0.5, pd.NA, 1.0]
    assert slices.index.isna().tolist() == [False, False, True]


def test_as_many_slices_as_rows_take_no_record_each():
    rows = 2000
    frame = pd.DataFrame({"id": [f"r{n}" for n in range(rows)], "said": "x", "gold": "x"})
    frame.head().llm.score("said", gold="gold", by="id")  # what is loaded for it
    tracemalloc.start()
    try:
        slices = frame.llm.score("said", gold="gold", by="id").slices
        assert tracemalloc.get_traced_memory()[1] < 430 * rows  # 325 of them; with records 550
    finally:
        tracemalloc.stop()
    assert slices.index.tolist() == sorted(frame["id"])
    assert (slices["n"] == 1).all()


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


@pytest.mark.parametrize(
    ("said", "gold"),
    [
        (pd.Categorical([1, 5, None]), [1.0, 5.0, np.nan]),  # a choice of numbers is labels
        (pd.array([True, False, None], dtype="boolean"), [True, False, None]),
        (pd.array(["good", "bad", None], dtype="string"), [Mood.GOOD, Mood.BAD, None]),
        (pd.Categorical(["good", "bad", None]), pd.Categorical(["good", "bad", None])),
    ],
)
def test_labels_are_the_same_in_whatever_type_they_come(said, gold):
    score = pd.DataFrame({"said": said, "gold": gold}).llm.score("said", gold="gold")
    assert (score.measure, score.n, score.right) == ("labels", 2, 2)


def test_answers_of_a_run_are_scored_and_its_type_says_which_labels_there_are(tmp_path):
    frame = pd.DataFrame({"text": ["fine", "poor", "so"], "gold": ["good", "bad", None]})
    with Server(answer="good") as server:
        out = frame.llm.process(
            "{text}", into="mood", schema=Literal["good", "bad"], progress=False, journal=False,
            model=lp.Model("openai/m", base_url=server.base_url, api_key=server.key),
        )  # fmt: skip
    score = out.llm.score("mood", gold="gold")
    assert isinstance(score, lp.Score)
    assert (score.n, score.right) == (2, 1)
    out["gold"] = ["Good", "bad", "awful"]
    with pytest.raises(ConfigurationError, match=r"'Good' \(1 row\), 'awful' \(1 row\).*'good'"):
        out.llm.score("mood", gold="gold")


BAD = {
    "a column that is not there": ({"gold": "labl"}, ColumnError, "Did you mean 'label'"),
    "an answer that is not there": ({"into": "sad"}, ColumnError, "no column 'sad'"),
    "a slice that is not there": ({"by": "nowhere"}, ColumnError, "by: the frame has no column"),
    "itself": ({"gold": "said"}, ColumnError, "the column of the answers"),
    "two of a name": ({"gold": "twice"}, ColumnError, "2 columns are called 'twice'"),
    "no gold": ({"gold": "empty"}, ConfigurationError, "no value in any row"),
    "numbers for text": ({"gold": "code"}, ConfigurationError, "has numbers, .* are text"),
    "text for numbers": ({"into": "code", "gold": "label"}, ConfigurationError, "pd.to_numeric"),
    "records": ({"into": "record"}, ConfigurationError, "score its fields one by one"),
    "slices by lists": ({"by": "lists"}, ConfigurationError, "no slice can be named by"),
    "a series": ({"gold": pd.Series([1])}, ColumnError, "takes the name of a column, not a Series"),
    "no numbers": ({"into": "code", "gold": "endless"}, ConfigurationError, "infinite"),
    "an unknown argument": ({"golden": 1}, ConfigurationError, "Did you mean 'gold'"),
}


@pytest.mark.parametrize("given", BAD)
def test_bad_input_is_refused_with_what_is_wrong_and_the_way_on(given):
    more, error, says = BAD[given]
    frame = pd.DataFrame(
        {"said": ["a", "b"], "label": ["a", "a"], "code": [0, 1], "empty": [None, np.nan]}
    )
    frame["endless"] = [1.0, np.inf]
    frame["record"] = [{"a": 1}, {"a": 2}]
    frame["lists"] = [["a"], ["b"]]
    frame.insert(0, "twice", 1)
    frame.insert(0, "twice", 2, allow_duplicates=True)
    with pytest.raises(error, match=says):
        frame.llm.score(**{"into": "said", "gold": "label", **more})


def test_a_score_is_plain_json_too():
    frame = random_frame(0).assign(day=pd.Timestamp("2026-01-01"), few=[[]] * 300)
    made = frame.llm.score("said", gold="gold", by="day").as_dict()
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["wrong"] == len(frame.llm.score("said", gold="gold").wrong)
    assert made["slices"][0]["day"].startswith("2026-01-01")
    assert made["confusion"][0]["gold"] == "bad"


def test_nothing_of_a_label_becomes_html_or_mathematics():
    label = "<img src=x onerror=alert(1)> $a$"
    frame = pd.DataFrame({"said": [label, "b"], "gold": ["b", label], label: [label, None]})
    page = frame.llm.score("said", gold="gold", by=label)._repr_html_()
    assert "<img" not in page
    assert "$a$" not in page


def test_an_interval_is_shown_where_something_is_estimated_and_only_there():
    frame = random_frame(0)
    whole = frame.llm.score("said", gold="gold")
    part = frame.assign(gold=frame["gold"].where(frame.index < 90)).llm.score("said", gold="gold")
    for shown in (repr(whole), whole._repr_html_()):
        assert "of the gold" in shown
        assert "corrected" not in shown
    for shown in (repr(part), part._repr_html_()):
        assert "corrected (95 % interval)" in shown
        assert "(if those were drawn at random)" in shown
    axis = part.plot().axes[1]
    for text, place in zip(axis.get_xticklabels(), axis.get_xticks(), strict=True):
        assert float(text.get_text().removesuffix(" %")) == pytest.approx(100 * place)


def test_the_numbers_of_the_picture_are_read_on_light_pages_and_dark_ones():
    said, gold = ["a"] * 9 + ["b"] * 9, ["a"] * 8 + ["b"] * 5 + ["a"] * 5
    axis = pd.DataFrame({"said": said, "gold": gold}).llm.score("said", gold="gold").plot().axes[0]
    assert len(axis.patches) == len(axis.texts) == 4
    for patch, text in zip(axis.patches, axis.texts, strict=True):
        assert patch.get_facecolor()[3] == 1  # no page shows through
        dark, light = sorted((luminance(text.get_color()), luminance(patch.get_facecolor())))
        assert (light + 0.05) / (dark + 0.05) > 4.5  # as WCAG asks of text


def luminance(color):
    """As WCAG 2 defines it."""
    from matplotlib.colors import to_rgb

    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))


def test_no_label_is_a_program_of_latex_whatever_the_settings_say(monkeypatch):
    """`\\input{/etc/passwd}` would put that file into the picture."""
    monkeypatch.setattr(TexManager, "__new__", None)
    frame = pd.DataFrame({"a": [r"\input{/etc/passwd}", "b"] * 20, "g": ["b"] * 40})
    with mpl.rc_context({"text.usetex": True}):
        picture = frame.llm.score("a", gold="g").plot()
        assert picture._repr_png_()
        assert picture.axes
        picture.canvas.draw()
    assert not any(text.get_usetex() for text in picture.findobj(Text))


@pytest.mark.parametrize("labels", [2, 12, 600])
def test_pictures_are_drawn_of_few_labels_and_of_many(labels):
    said = [f"label {n} $" for n in range(labels)]
    score = pd.DataFrame({"said": said, "gold": said[::-1]}).llm.score("said", gold="gold")
    assert (score.confusion is None) == (labels > 500)
    assert score.plot()._repr_png_().startswith(b"\x89PNG")
    assert len(repr(score).splitlines()) < 40


def test_what_an_extra_brings_is_told_where_it_is_missing(monkeypatch):
    frame = random_frame(0)
    score = frame.llm.score("said", gold="gold")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"score\.plot\(\).*lionproc\[plot\]"):
        score.plot()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingDependencyError, match=r"lionproc\[evaluate\]"):
        frame.llm.score("said", gold="gold")
    numbers = pd.DataFrame({"said": [1, 2], "gold": [1, 3]})
    assert numbers.llm.score("said", gold="gold").mae == 0.5


@pytest.mark.parametrize("kind", ["numbers", "decimals", "of Arrow"])
def test_a_column_of_very_many_different_numbers_of_one_hash_is_refused(tmp_path, kind):
    same = [(2**61 - 1) * number for number in range(1, 1101)]
    cells = {"numbers": same, "decimals": list(map(Decimal, same))}.get(kind)
    if cells is None:
        cells = pd.array(same, dtype=pd.ArrowDtype(pa.decimal128(38, 0)))
    frame = pd.DataFrame({"a": "yes", "gold": "yes", "price": cells})
    for look in (
        lambda: frame.llm.score("a", gold="gold", by="price"),
        lambda: frame.llm.score("price", gold="gold"),
        lambda: frame.llm.to_review(tmp_path / "review.csv", into="a", by="price"),
    ):
        with pytest.raises(ColumnError, match=r"'price' have one hash.*astype"):
            look()
    few = frame.assign(price=[cells[row % 900] for row in range(len(frame))])
    assert len(few.llm.score("a", gold="gold", by="price").slices) == 900
    texts = frame.assign(price=frame["price"].astype("string"))
    assert len(texts.llm.score("a", gold="gold", by="price").slices) == 1100


def test_lists_of_very_many_different_numbers_of_one_hash_are_refused():
    same = [(2**61 - 1) * number for number in range(1, 1101)]
    frame = pd.DataFrame({"a": [[1], [2]], "gold": [same, [2]]})
    with pytest.raises(ColumnError, match=r"lists of 'gold' have one hash"):
        frame.llm.score("a", gold="gold")
    assert frame.assign(gold=[same[:900], [2]]).llm.score("a", gold="gold").n == 2
