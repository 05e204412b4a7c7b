"""A sample that a person labels in a spreadsheet program, and what its labels say of the frame."""

import datetime as dt
import sys
import weakref
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from openpyxl.styles import numbers

import lionproc as lp
from lionproc.errors import ColumnError, ConfigurationError, SaveError
from lionproc.evaluation import by_hand, review_file, review_sheet, workbook
from lionproc.evaluation.draw import drawn
from lionproc.evaluation.intervals import weighted
from lionproc.evaluation.row_ids import ids_of
from lionproc.testing import Server

Mood = Literal["positive", "negative", "neutral"]


def said_of(body):
    text = body["messages"][-1]["content"]
    return next(mood for mood in ("negative", "neutral", "positive") if mood in text)


@pytest.fixture(scope="module")
def out():
    """300 answers, few of them neutral, of a run of this session."""
    moods = ["neutral" if n % 60 == 0 else ("positive", "negative")[n % 3 == 0] for n in range(300)]
    reviews = [f"{mood}, ä {n}\n=1+{n}" for n, mood in enumerate(moods)]
    frame = pd.DataFrame({"n": range(300), "review": reviews}, index=[n % 7 for n in range(300)])
    with Server(answer=said_of) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        made = frame.llm.process(
            "Mood? {review}", "mood", Mood, model=model, journal=False, progress=False
        )
    made["mood_confidence"] = pd.array(np.linspace(0.4, 1, 300), dtype="Float64")
    return made


def written(out, path, n=60, **more):
    out.llm.to_review(path, n=n, by="mood", **more)
    return pd.read_csv(path)


def test_a_sample_has_every_label_unsure_rows_more_often_and_what_each_stands_for(out, tmp_path):
    sheet = written(out, tmp_path / "review.csv")
    assert list(sheet.columns) == ["id", "review", "mood", "gold", "allowed", "weight"]
    assert set(sheet["mood"]) == {"positive", "negative", "neutral"}
    assert sheet["gold"].isna().all()
    assert set(sheet["allowed"]) == {"positive | negative | neutral"}
    assert sheet["weight"].sum() == pytest.approx(300, rel=0.2)
    drawn_rows = out[out["review"].isin(sheet["review"].str.replace("'", ""))]
    assert drawn_rows["mood_confidence"].mean() < out["mood_confidence"].mean() - 0.05
    assert [text[:12] for text in sheet["review"]] == [
        t[:12] for t in drawn_rows["review"]
    ]  # in order
    assert sheet.equals(written(out, tmp_path / "again.csv"))  # the same seed, the same rows


@pytest.mark.parametrize("into", ["mood", "text", "number", "whole", "yes", "items"])
def test_what_a_person_writes_comes_back_as_the_answers_are(tmp_path, into):
    answers = {
        "mood": (pd.Categorical(["a", "b"], categories=["a", "b"]), [" B", "a"], ["b", "a"]),
        "text": (["one", "two"], ["three", "two"], ["three", "two"]),
        "number": (pd.array([1.5, 2.0], dtype="Float64"), ["2,5", "1.000,0"], [2.5, 1000.0]),
        "whole": (
            pd.array([2**53 + 1, 7], dtype="Int64"),
            ["9007199254740993", "9.007.199.254.740.995"],  # as ids are, with more than 15 digits
            [2**53 + 1, 2**53 + 3],
        ),
        "yes": (pd.array([True, False], dtype="boolean"), ["FALSCH", "yes"], [False, True]),
        "items": ([["a"], []], ['["a", "b"]', "a; c"], [["a", "b"], ["a", "c"]]),
    }
    made, typed, meant = answers[into]
    frame = pd.DataFrame({"text_read": ["first", "second"], into: made})
    path = tmp_path / "review.csv"
    frame.llm.to_review(path, into=into, columns=["text_read"])
    sheet = pd.read_csv(path).assign(gold=typed)
    sheet.to_csv(path, index=False, sep=";", decimal=",")
    gold = lp.read_review(path)
    assert list(gold["gold"]) == meant
    assert frame.llm.score(into, gold=gold).n == 2


def test_gold_of_more_digits_than_a_float_has_is_read_with_all_of_them(tmp_path):
    texts = ["9007199254740993.1", "9007199254740993.1", "2.5"]
    frame = pd.DataFrame({"text": ["a", "b", "c"], "said": [Decimal(each) for each in texts]})
    frame["said"] = frame["said"].astype(pd.ArrowDtype(pa.decimal128(38, 9)))
    path = tmp_path / "review.csv"
    frame.llm.to_review(path, into="said", columns=["text"])
    typed = ["9007199254740993.1", "9,007,199,254,740,993.2", "2.5"]
    pd.read_csv(path).assign(gold=typed).to_csv(path, index=False)
    gold = lp.read_review(path)
    assert gold["gold"].tolist() == [Decimal(each.replace(",", "")) for each in typed]
    assert type(gold["gold"][2]) is float
    assert frame.llm.score("said", gold=gold).wrong.index.tolist() == [1]


@pytest.mark.parametrize(
    ("items", "typed"),
    [
        ([1, 2], "1, 2"),
        ([1.5, -2.0], "1.5; -2"),
        ([True, False], "true, false"),
        ([Decimal("1.50"), Decimal(2)], "1.5, 2"),
        ([dt.date(2020, 1, 2)], "2020-01-02"),
        ([dt.datetime(2020, 1, 2, 3, tzinfo=dt.UTC)], "2020-01-02T03:00:00Z"),
        ([dt.timedelta(hours=1)], "1:00:00"),
        (["a", "b"], "b, a"),
    ],
)
def test_items_of_a_list_are_right_as_the_sheet_has_them_and_as_a_person_types_them(
    tmp_path, items, typed
):
    out = pd.DataFrame({"n": range(4), "said": [items] * 4})
    out.llm.to_review(tmp_path / "r.csv", n=4, by="said")
    sheet = pd.read_csv(tmp_path / "r.csv", dtype=str)
    sheet["gold"] = [sheet["said"][0], typed, sheet["said"][2], "x"]
    sheet.to_csv(tmp_path / "r.csv", index=False)
    score = out.llm.score("said", gold=lp.read_review(tmp_path / "r.csv"))
    assert (score.right, score.n) == (3, 4)


def test_lists_of_texts_beside_lists_of_numbers_are_refused_as_none_could_be_right():
    frame = pd.DataFrame({"said": [[1, 2], [3]], "gold": [["1", "2"], ["3"]]})
    with pytest.raises(ColumnError, match=r"'said' have items of the type int.*'gold' texts"):
        frame.llm.score("said", gold="gold")


def as_excel_saves(sheet, path, way):
    if way == "semicolons":
        sheet.to_csv(path, sep=";", decimal=",", index=False, encoding="utf-8-sig")
    elif way == "cp1252":
        sheet.to_csv(path, index=False, encoding="cp1252", lineterminator="\r\n")
    elif way == "unicode text":
        sheet.to_csv(path, sep="\t", index=False, encoding="utf-16")
    elif way == "utf-32":
        sheet.to_csv(path, index=False, encoding=way)
    elif way == "sep=":
        path.write_text("sep=;\n" + sheet.to_csv(sep=";", index=False), encoding="utf-8")
    else:
        path = path.with_suffix(".xlsx")
        sheet.to_excel(path, index=False)
    return path


@pytest.mark.parametrize("way", ["semicolons", "cp1252", "unicode text", "utf-32", "sep=", "xlsx"])
def test_a_file_that_a_spreadsheet_program_has_saved_is_read_as_it_was_meant(out, tmp_path, way):
    sheet = written(out, tmp_path / "review.csv")
    sheet["gold"] = [mood.upper() + " " for mood in sheet["mood"]]
    sheet.loc[3:4, "gold"] = None
    plain = sheet.copy()
    sheet["comment"] = "mine"
    sheet = sheet.rename(columns={"gold": "Gold"})[
        list(reversed(sheet.rename(columns={"gold": "Gold"}).columns))
    ]
    path = as_excel_saves(sheet.sample(frac=1, random_state=0), tmp_path / "review.csv", way)
    gold = lp.read_review(path)
    assert (len(gold), gold.unlabelled) == (58, 2)
    assert "58 rows labelled, 2 left empty" in repr(gold)
    score = out.sample(frac=1, random_state=1).llm.score("mood", gold=gold)
    assert (score.n, score.accuracy, score.not_found, score.weighted) == (58, 1.0, 0, True)
    assert gold["weight"].sum() == pytest.approx(plain.drop([3, 4])["weight"].sum())


def test_without_ids_rows_are_found_by_what_they_say(out, tmp_path):
    sheet = written(out, tmp_path / "review.csv").assign(gold=lambda s: s["mood"])
    sheet.to_csv(tmp_path / "review.csv", index=False)
    gold = lp.read_review(tmp_path / "review.csv")
    by_id = out.llm.score("mood", gold=gold)
    assert out.llm.score("mood", gold=gold.drop(columns="id")).as_dict() == by_id.as_dict()
    elsewhere = pd.DataFrame(out).drop(columns="mood_confidence")
    elsewhere.attrs = {}  # of another session: nobody knows its prompt
    assert elsewhere.llm.score("mood", gold=gold).n == 60
    changed = elsewhere.assign(review=["other", *list(elsewhere["review"])[1:]])
    lost = gold["review"].str.startswith("neutral, ä 0\n").sum()
    assert changed.llm.score("mood", gold=gold).not_found == lost
    with pytest.raises(ConfigurationError, match="None of the 60 labelled rows is in this frame"):
        elsewhere.assign(review="other").llm.score("mood", gold=gold)
    with pytest.raises(ConfigurationError, match="No row of the review is labelled yet"):
        elsewhere.llm.score("mood", gold=gold.assign(gold=None))


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
@pytest.mark.parametrize("cell", ["cut \ud83d", 10**5000], ids=["half a character", "huge number"])
def test_a_cell_that_cannot_be_encoded_or_printed_keeps_no_other_from_being_reviewed(
    tmp_path, cell, ending
):
    frame = pd.DataFrame({"text": pd.Series(["one", cell, "two"], dtype=object), "a": [*"xyx"]})
    path = frame.llm.to_review(tmp_path / f"review.{ending}", into="a", columns=["text"])
    sheet = pd.read_csv(path) if ending == "csv" else pd.read_excel(path)
    sheet["gold"] = sheet["a"]
    sheet.to_csv(tmp_path / "labelled.csv", index=False)
    gold = lp.read_review(tmp_path / "labelled.csv")
    assert frame.llm.score("a", gold=gold).n == 3
    assert frame.llm.score("a", gold=gold.drop(columns="id")).n == 3


@pytest.mark.parametrize("column", ["Gold", "GOLD ", " weight", "id"])
@pytest.mark.parametrize("is_answer", [True, False])
def test_a_column_called_as_one_of_the_sheet_is_no_second_one(tmp_path, column, is_answer):
    into, seen = (column, "text") if is_answer else ("a", column)
    frame = pd.DataFrame({seen: ["one", "two", "three"], into: [*"xyx"]})
    path = frame.llm.to_review(tmp_path / "review.csv", into=into, columns=[seen])
    sheet = pd.read_csv(path, dtype=str, keep_default_na=False)
    sheet["gold"] = [*"xyx"]
    sheet.to_csv(path, index=False)
    gold = lp.read_review(path)
    assert frame.llm.score(into, gold=gold).accuracy == 1.0
    assert frame.llm.score(into, gold=gold.drop(columns="id")).n == 3


@pytest.mark.parametrize(
    ("columns", "into", "more"),
    [
        (["id", "row_id"], "a", "text"),
        ([1, "1"], "a", "text"),
        (["row_gold"], "gold", "text"),
        (["id"], "a", "row_id"),  # which would be taken for it where the labels are looked up
    ],
)
def test_no_column_of_a_sheet_takes_the_place_of_another_one(tmp_path, columns, into, more):
    frame = pd.DataFrame({name: ["one", "two"] for name in [*columns, more]} | {into: [*"xy"]})
    with pytest.raises(ColumnError, match="another column"):
        frame.llm.to_review(tmp_path / "review.csv", into=into, columns=columns)
    assert not list(tmp_path.iterdir())
    renamed = frame.set_axis(["first", *frame.columns[1:]], axis=1)
    path = renamed.llm.to_review(tmp_path / "review.csv", into=into, columns=["first", more] * 2)
    assert list(pd.read_csv(path)["first"]) == ["one", "two"]


def test_days_and_numbers_that_a_spreadsheet_has_rewritten_are_still_the_same_rows():
    when = pd.to_datetime(["2026-01-31", "2026-02-28"])
    frame = pd.DataFrame({"when": when, "price": [1234.5, 3.0], "mood": ["a", "b"]})
    review = pd.DataFrame(
        {"when": ["28/02/2026", "31/01/2026"], "price": ["3", "1.234,5"], "gold": ["b", "b"]}
    )
    score = frame.llm.score("mood", gold=review)
    assert (score.n, score.accuracy, score.weighted) == (2, 0.5, False)
    assert list(score.wrong["price"]) == [1234.5]


@pytest.mark.parametrize("first", [2**53, 10**31])
def test_rows_whose_ids_differ_in_the_last_of_many_digits_are_not_taken_for_each_other(first):
    ids = [first, first + 1]
    frame = pd.DataFrame({"post": ids, "mood": ["a", "b"]})
    review = pd.DataFrame({"post": [f"{each:,}" for each in reversed(ids)], "gold": ["b", "a"]})
    assert frame.llm.score("mood", gold=review).accuracy == 1


LOOKALIKES = ["007", "7", "1.10", "1.1", "were", "we're", "a b", "a  b", "1/2/2026", "2026-02-01"]


@pytest.mark.parametrize("way", ["cp1252", "xlsx"])
def test_rows_that_resemble_each_other_each_get_their_own_gold_without_ids(tmp_path, way):
    frame = pd.DataFrame({"t": [*LOOKALIKES, "=1", "1"], "said": list("abcdefghijkl")})
    sheet = pd.read_csv(frame.llm.to_review(tmp_path / "review.csv", into="said"), dtype=str)
    sheet = sheet.assign(gold=sheet["said"]).drop(columns="id")[::-1]
    path = as_excel_saves(sheet, tmp_path / "review.csv", way)
    for part in (frame, frame[::-1]):
        score = part.llm.score("said", gold=lp.read_review(path))
        assert (score.n, score.accuracy, score.not_found) == (12, 1.0, 0)


@pytest.mark.parametrize(
    ("there", "labelled", "found"),
    [
        (["007", "8"], ["7", "8"], ["007", "8"]),  # rewritten, and only one it can be
        (["007", "07", "8"], ["7", "8"], ["8"]),
        (["007", "8"], ["7", "7.0", "8"], ["8"]),
        (["007", "7", "8"], ["7", "7", "8"], ["8"]),  # of which one was 007
        (["007", "007", "8"], ["7", "7", "8"], ["007", "007", "8"]),
    ],
)
def test_gold_that_may_be_of_several_rows_is_left_out_and_counted(there, labelled, found):
    frame = pd.DataFrame({"t": there, "said": "x"})
    score = frame.llm.score("said", gold=pd.DataFrame({"t": labelled, "gold": "y"}))
    assert list(score.wrong["t"]) == found
    assert score.not_found == len(labelled) - len(found)


def test_times_of_one_day_are_not_taken_for_each_other(tmp_path):
    when = pd.to_datetime(["2026-01-31 10:00", "2026-01-31 11:00"])
    frame = pd.DataFrame({"when": when, "said": ["a", "b"]})
    path = frame.llm.to_review(tmp_path / "review.csv", into="said")
    sheet = pd.read_csv(path, dtype=str).assign(gold=lambda s: s["said"]).drop(columns="id")
    assert frame.llm.score("said", gold=sheet[::-1]).accuracy == 1


def test_each_of_many_columns_is_not_looked_for_among_all_of_them(tmp_path, monkeypatch):
    # 8,000 columns took a minute.
    walks, walk = [], pd.Index.__iter__
    monkeypatch.setattr(pd.Index, "__iter__", lambda index: walks.append(index) or walk(index))
    wide = pd.DataFrame([["x"] * 201], columns=["a", *(f"c{n}" for n in range(200))])
    wide.llm.to_review(tmp_path / "review.csv", n=1, into="a")
    assert sum(len(index) > 200 for index in walks) < 100


def test_equal_rows_each_have_their_own_gold_and_two_golds_of_one_row_are_refused():
    frame = pd.DataFrame({"text": ["x", "x", "y"], "mood": ["a", "b", "a"]})
    review = pd.DataFrame({"text": ["x", "x"], "gold": ["a", "a"]})
    assert frame.llm.score("mood", gold=review).n == 2
    twice = review.assign(id=ids_of(frame, ["text"])[0], gold=["a", "b"])
    with pytest.raises(ConfigurationError, match=r"says 'a' and 'b' of one row \(index 0\)"):
        frame.llm.score("mood", gold=twice)


def test_what_is_no_label_is_named_with_its_row_and_the_allowed_ones(out, tmp_path):
    path = tmp_path / "review.csv"
    written(out, path).assign(gold=["good", *["positive"] * 58, "bad"]).to_csv(path, index=False)
    with pytest.raises(ConfigurationError) as told:
        lp.read_review(path)
    assert "row 2: 'good', allowed: positive | negative | neutral; row 61: 'bad'" in str(told.value)
    path.write_text("id,label\nr1,positive\n")
    with pytest.raises(ConfigurationError, match=r"no column 'gold'.*It has 'id', 'label'"):
        lp.read_review(path)


def test_a_sheet_that_somebody_has_filled_in_is_not_written_over(out, tmp_path):
    path = tmp_path / "review.csv"
    sheet = written(out, path)
    written(out, path)  # an empty one is
    sheet.assign(gold=["positive", *[None] * 59]).to_csv(path, index=False)
    with pytest.raises(SaveError, match="has labels in 1 rows, which would be lost"):
        written(out, path)
    assert written(out, path, overwrite=True)["gold"].isna().all()


@pytest.mark.parametrize(
    "there", ["a label that is not allowed", "two columns of gold", "the data"]
)
def test_whatever_somebody_has_written_there_is_not_written_over(out, tmp_path, there):
    path = tmp_path / "review.csv"
    sheet = written(out, path)
    if there == "the data":
        out.to_csv(path)
    elif there == "two columns of gold":
        sheet.assign(Gold="positive").to_csv(path, index=False)
    else:
        sheet.assign(gold=["positive", "good", *[None] * 58]).to_csv(path, index=False)
    kept = path.read_bytes()
    for name in (path, path.as_uri()):
        with pytest.raises(SaveError, match="would be lost"):
            written(out, name)
    assert path.read_bytes() == kept


def test_what_is_behind_an_address_is_not_written_over(out):
    out.llm.to_review("memory://review-of-a-test.csv", n=5)
    with pytest.raises(SaveError, match="is there already, and may have labels"):
        out.llm.to_review("memory://review-of-a-test.csv", n=5)
    out.llm.to_review("memory://review-of-a-test.csv", n=5, overwrite=True)


def test_equal_rows_are_found_one_after_the_other_and_none_is_moved_for_it():
    frame = pd.DataFrame({"text": ["same"] * 500, "said": ["x"] * 500})
    review = pd.DataFrame({"text": ["same"] * 300, "gold": ["x"] * 200 + ["y"] * 100})
    moved = 0

    def count(_, event, called):
        nonlocal moved
        if event == "c_call" and called.__name__ == "pop" and type(called.__self__) is list:
            moved += len(called.__self__)  # of a million equal rows all, a million times

    sys.setprofile(count)
    try:
        score = frame.llm.score("said", gold=review)
    finally:
        sys.setprofile(None)
    assert (score.n, score.accuracy) == (300, pytest.approx(2 / 3))
    assert moved < 20 * 500


def test_no_cell_of_it_is_a_formula(tmp_path):
    frame = pd.DataFrame(
        {"text": ["=HYPERLINK(1)", "+cmd|' /C calc'!A0"], "said": ["@SUM(1)", "a"]}
    )
    frame.llm.to_review(tmp_path / "review.csv", into="said")
    assert (
        not pd.read_csv(tmp_path / "review.csv").map(lambda c: str(c)[:1] in "=+@").any(axis=None)
    )
    path = frame.llm.to_review(tmp_path / "review.xlsx", into="said")
    sheet = pd.read_excel(path).assign(gold=["x", "a"]).astype(object)
    sheet.to_excel(path, index=False)
    assert frame.llm.score("said", gold=lp.read_review(path).drop(columns="id")).n == 2


def test_the_weighted_share_is_that_of_the_frame_and_equal_weights_change_nothing():
    from statsmodels.stats.proportion import proportion_confint

    random = np.random.default_rng(0)
    right = random.random(100) < 0.8
    share, low, high = weighted(right, np.full(100, 3.0))
    theirs = proportion_confint(right.sum(), 100, method="wilson")
    assert (share, low, high) == pytest.approx((right.mean(), *theirs))
    strata, sizes = random.integers(0, 3, 1000), random.uniform(0.1, 1, 1000)
    truth = random.random(1000) < np.clip(1 - sizes, 0.1, 0.9)
    shares, held = [], 0
    for seed in range(200):
        rows, chance = drawn(strata, 80, seed, sizes)
        assert len(set(rows)) == 80
        share, low, high = weighted(truth[rows], 1 / chance)
        shares.append(share)
        held += low <= truth.mean() <= high
    assert np.mean(shares) == pytest.approx(truth.mean(), abs=0.01)
    assert held >= 187
    plain = np.mean([truth[drawn(strata, 80, seed, sizes)[0]].mean() for seed in range(50)])
    assert plain < truth.mean() - 0.05  # what comes of not weighting


def test_a_weighted_score_counts_rows_for_what_they_stand_for():
    frame = pd.DataFrame({"text": list("abcd"), "said": ["x", "x", "y", "y"]})
    review = pd.DataFrame({"text": list("abc"), "gold": ["x", "y", "y"], "weight": [1.0, 2.0, 5.0]})
    score = frame.llm.score("said", gold=review)
    assert (score.right, score.n, score.accuracy) == (2, 3, 0.75)
    assert score.table.loc["x", "precision"] == pytest.approx(1 / 3)
    assert score.table["support"].tolist() == [1, 2]
    assert "counts for as many as it stands for" in repr(score)
    assert score.shares["share"].sum() == pytest.approx(1)
    numbers = frame.assign(said=[1.0, 2.0, 3.0, 4.0]).llm.score(
        "said", gold=review.assign(gold=[1.0, 4.0, 3.0])
    )
    assert (numbers.mae, numbers.bias) == (0.5, -0.5)


@pytest.mark.parametrize("weight", [1e308, 0, -1, float("nan"), "many"])
def test_a_weight_that_is_no_number_of_rows_is_refused(tmp_path, weight):
    frame = pd.DataFrame({"text": list("abcd"), "said": ["x", "x", "y", "y"]})
    review = pd.DataFrame({"text": list("abc"), "gold": ["x", "y", "y"], "weight": [1, weight, 5]})
    with pytest.raises(
        ConfigurationError, match=r"Row 1 of the review has the weight .* to_review"
    ):
        frame.llm.score("said", gold=review)
    review.to_csv(tmp_path / "review.csv", index=False)
    with pytest.raises(ConfigurationError, match=r"Row 3 has the weight .* to_review"):
        lp.read_review(tmp_path / "review.csv")


@pytest.mark.parametrize("labels", [["-1", "0", "1"], [-1, 0, 1], ["=a", "+b", "'c"]], ids=str)
@pytest.mark.parametrize("copied", [False, True])
def test_labels_that_look_like_formulas_come_back_as_they_are(tmp_path, labels, copied):
    kinds = pd.CategoricalDtype(labels)
    frame = pd.DataFrame({"t": list("abcdef"), "mood": pd.array(labels * 2, dtype=kinds)})
    path = tmp_path / "review.csv"
    frame.llm.to_review(path, n=6, into="mood")
    sheet = pd.read_csv(path, dtype=str, keep_default_na=False)
    answered = dict(zip(frame["t"], map(str, frame["mood"]), strict=True))
    sheet["gold"] = sheet["mood"] if copied else sheet["t"].map(answered)
    sheet.to_csv(path, index=False)
    assert frame.llm.score("mood", gold=lp.read_review(path)).accuracy == 1


HEAD = "id,t,gold,allowed,weight\n"
A_LIST = '"a list, as [""a"", ""b""]"'


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (f"{HEAD}r1,x,a,[1,1\n", "row 2: 'a', allowed"),
        (f'{HEAD}r1,x,a,"{"[" * 9999}",1\n', "row 2: 'a', allowed"),
        (f'{HEAD}r1,x,"{"[" * 9999}",{A_LIST},1\n', "row 2: '\\[\\[.*allowed: a list"),
        (f"{HEAD}r1,x,1e300,a whole number,1\n", "row 2: '1e300', allowed: a whole number"),
        ("id,gold,Gold\nr1,a,b\n", "2 columns 'gold'"),
        ("id,gold,allowed,Allowed\nr1,a,b,c\n", "2 columns 'allowed'"),
        (b"\xff\xfe" + HEAD.encode("utf-16le") + b"x", "cannot be read as a table"),
        (f"id,gold{',' * 2000}\n" + "r1,a\n" * 2000, "2,001 rows that are shorter"),
        (f'{HEAD}r1,"x,a,a | b,1\nr2,x,b,a | b,1\n', "a quotation mark is opened and never closed"),
        (f"{HEAD}r1,x,1e-{'9' * 20},a whole number,1\n", "row 2: '1e-9.*allowed: a whole number"),
    ],
)
def test_what_a_stranger_made_of_the_file_is_an_error_of_ours(tmp_path, raw, says):
    path = tmp_path / "review.csv"
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    with pytest.raises(ConfigurationError, match=says):
        lp.read_review(path)


def test_a_label_is_not_held_against_each_of_a_strangers_labels_in_each_row(tmp_path, monkeypatch):
    path, looks = tmp_path / "review.csv", []
    folded = by_hand._folded
    monkeypatch.setattr(by_hand, "_folded", lambda text: looks.append(text) or folded(text))
    labels = " | ".join(f"label {n}" for n in range(100))
    path.write_text(HEAD + "".join(f"r{n},x,LABEL {n},{labels},1\n" for n in range(100)))
    assert lp.read_review(path)["gold"].tolist() == [f"label {n}" for n in range(100)]
    assert len(looks) == 200


def test_a_cell_may_be_a_whole_document(tmp_path):
    path = tmp_path / "review.csv"
    path.write_text(f"{HEAD}r1,{'x' * 200_000},a,a | b,1\n")
    assert len(lp.read_review(path)["t"][0]) == 200_000


def test_a_workbook_that_claims_more_than_it_has_fills_no_memory(tmp_path):
    path = tmp_path / "review.xlsx"
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        pd.DataFrame({"id": ["r1"], "gold": ["a"], "allowed": ["a | b"]}).to_excel(
            writer, index=False
        )
        writer.sheets["Sheet1"].cell(row=3000, column=10_000).value = "far away"
    assert lp.read_review(path)["gold"].tolist() == ["a"]
    path.write_bytes(b"PK")
    with pytest.raises(ConfigurationError, match="cannot be read as a table"):
        lp.read_review(path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ('<row r="1100000"/>', "more rows or empty cells"),
        ('<row><c r="XFD2" t="str"><v>x</v></c></row>' * 8, "more rows or empty cells"),
        (f"<row>{'<c/>' * 1000}</row>", "more than 1,000 tags"),
        (f'<row><c t="str"><v>{"word " * 5}</v></c></row>' * 50, "more than 1,000 characters"),
    ],
)
def test_a_workbook_of_a_few_bytes_fills_no_memory(tmp_path, monkeypatch, rows, says):
    monkeypatch.setattr(review_sheet, "MOST_TAGS", 1000)
    monkeypatch.setattr(review_sheet, "LOOSE_CELLS", 100_000)
    monkeypatch.setattr(review_sheet, "MOST_LETTERS", 1000)
    made, path = tmp_path / "made.xlsx", tmp_path / "review.xlsx"
    pd.DataFrame({"id": ["r1"], "gold": ["a"]}).to_excel(made, index=False)
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(
                name, old.read(name).replace(b"</sheetData>", f"{rows}</sheetData>".encode())
            )
    assert lp.read_review(made)["gold"].tolist() == ["a"]
    with pytest.raises(ConfigurationError, match=says):
        lp.read_review(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_workbook_that_is_packed_as_excel_packs_none_is_refused(tmp_path, packing):
    """Python unpacks a piece of these whole, however little is asked for."""
    made, path = tmp_path / "made.xlsx", tmp_path / "review.xlsx"
    pd.DataFrame({"id": ["r1"], "gold": ["a"]}).to_excel(made, index=False)
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("xl/media/more.xml", b" " * 10**7, compress_type=packing)
    with pytest.raises(ConfigurationError, match="packed in a way"):
        lp.read_review(path)


@pytest.mark.parametrize(
    "rows",
    [
        f"<row><c><v>{'1' * 1001}</v></c></row>",
        f'<row><c t="b"><v>{"1" * 1001}</v></c></row>',
        f'<row r="{"1" * 1001}"/>',
        f'<row><c r="A{"1" * 1001}"/></row>',
    ],
)
def test_a_number_of_thousands_of_digits_in_a_workbook_is_not_read(tmp_path, rows):
    path = tmp_path / "review.xlsx"
    edited(path, {"xl/worksheets/sheet1.xml": {"</sheetData>": f"{rows}</sheetData>"}})
    with pytest.raises(ConfigurationError, match=r"digits|no word and no number"):
        lp.read_review(path)


@pytest.mark.parametrize(
    ("part", "old", "new", "says"),
    [
        ("xl/worksheets/sheet1.xml", "</sheetData>",
         f'<row><c t="inlineStr"><is><t>{"a" * 2**21}</t></is></c></row></sheetData>', "longer than any"),
        ("xl/worksheets/sheet1.xml", "</sheetData>", "a" * 2**21, "longer than any"),  # and no end
        ("xl/worksheets/sheet1.xml", "</sheetData>",
         f'<row><c t="str"><v>{"a" * 2**15}</v></c>{"<c><v>" + "a" * 990 + "</v></c>"}</row></sheetData>',
         "more text than"),
        ("xl/styles.xml", "<cellXfs", "<numFmts>" + "".join(
            f'<numFmt numFmtId="{200 + n}" formatCode="[h]"/>' for n in range(60)
        ) + "</numFmts><cellXfs", "number formats"),
    ],
    ids=["one cell", "no end", "a row", "formats"],
)  # fmt: skip
def test_a_workbook_has_no_more_text_and_formats_than_one_of_excel(  # noqa: PLR0917
    tmp_path, monkeypatch, part, old, new, says
):
    monkeypatch.setattr(workbook, "MOST_LETTERS_OF_A_ROW", 2**15 + 500)
    monkeypatch.setattr(workbook, "MOST_FORMATS", 90)
    path = tmp_path / "review.xlsx"
    edited(path, {part: {old: new}})
    with pytest.raises(ConfigurationError, match=says):
        lp.read_review(path)


def test_a_sheet_may_have_more_text_than_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "MOST_LETTERS_OF_A_ROW", 1000)
    path = tmp_path / "review.xlsx"
    frame = pd.DataFrame({"id": [f"r{n}" for n in range(200)], "gold": "a", "n": 1 / 3})
    frame.to_excel(path, index=False)
    assert len(lp.read_review(path)) == 200


def test_long_names_of_columns_are_not_told_whole(tmp_path):
    path = tmp_path / "review.csv"
    path.write_text(",".join(f"{n}{'a' * 100_000}" for n in range(10)) + "\n")
    with pytest.raises(ConfigurationError, match="no column 'gold'") as refused:
        lp.read_review(path)
    assert len(str(refused.value)) < 5_000


def test_what_is_allowed_is_no_longer_than_what_we_write(tmp_path):
    path = tmp_path / "review.csv"
    pd.DataFrame({"id": ["r"], "gold": ["a"], "allowed": ["a | " * 10_000]}).to_csv(path)
    with pytest.raises(ConfigurationError, match="not allowed"):
        lp.read_review(path)


def test_dates_that_are_none_in_a_workbook_are_told_in_no_warnings(tmp_path, recwarn):
    path = tmp_path / "review.xlsx"
    frame = pd.DataFrame({"id": ["r1"], "gold": ["a"], "at": [pd.Timestamp("2024-01-01")]})
    frame.to_excel(tmp_path / "made.xlsx", index=False)
    with zipfile.ZipFile(tmp_path / "made.xlsx") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"<v>45292</v>", b"<v>1e300</v>"))
    lp.read_review(path)
    assert not recwarn.list


def test_lists_that_take_far_more_memory_than_their_cells_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(review_file, "MOST_OF_LISTS", 100_000)
    path = tmp_path / "review.csv"

    def read(gold, allowed='a list, as ["a", "b"]'):
        rows = [{"id": f"r{n}", "allowed": allowed, "gold": gold} for n in range(100)]
        pd.DataFrame(rows).to_csv(path, index=False)
        return lp.read_review(path)["gold"].tolist()

    assert read('["a", "b"]') == [["a", "b"]] * 100
    text = "[a link](b) and [[[[[[[[[[[[[[[[{{{{"
    assert read(text, allowed="any text") == [text] * 100
    with pytest.raises(ConfigurationError, match="far more memory"):
        read("[" + ",".join(["[]"] * 40) + "]")
    for mark in ",;\n":
        with pytest.raises(ConfigurationError, match="far more memory"):
            read(mark.join(["a"] * 40))


def test_what_is_allowed_in_a_row_is_kept_no_longer_than_its_rows_are_read(tmp_path, monkeypatch):
    known, inner = [], review_file._allowed

    def spy(words):
        assert sum(each() is not None for each in known) <= 1
        made = inner(words)
        known.append(weakref.ref(made))
        return made

    monkeypatch.setattr(review_file, "_allowed", spy)
    path = tmp_path / "review.csv"
    rows = [{"id": f"r{n}", "allowed": f"{n % 3} | a | b", "gold": "ab"[n % 2]} for n in range(9)]
    pd.DataFrame(rows).to_csv(path, index=False)
    assert lp.read_review(path)["gold"].tolist() == list("ababababa")
    rows[4]["gold"] = rows[2]["gold"] = "x"
    pd.DataFrame(rows).to_csv(path, index=False)
    with pytest.raises(
        ConfigurationError, match=r"row 4: 'x', allowed: 2 .*row 6: 'x', allowed: 1 "
    ):
        lp.read_review(path)


def test_in_a_workbook_very_much_may_be_marked(tmp_path):
    places = " ".join(f"B{row}" for row in range(2, 2000, 2))
    marked = f'activeCell="A1" sqref="{places}"'
    part = "xl/worksheets/sheet1.xml"
    path = edited(tmp_path / "review.xlsx", {part: {'activeCell="A1" sqref="A1"': marked}})
    assert lp.read_review(path)["gold"].tolist() == ["a"]


def edited(path, changes):
    """A workbook of which parts say something else."""
    made = path.with_name("made.xlsx")
    frame = pd.DataFrame({"id": ["r1"], "gold": ["a"]})
    frame.to_excel(made, index=False, engine="openpyxl")
    with zipfile.ZipFile(made) as packed, zipfile.ZipFile(path, "w") as odd:
        for name in packed.namelist():
            said = packed.read(name).decode()
            for old, new in changes.get(name, {}).items():
                assert old in said
                said = said.replace(old, new)
            odd.writestr(name, said)
    return path


def test_a_long_text_that_is_in_a_workbook_once_stands_in_no_thousand_cells(tmp_path, monkeypatch):
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    strings = f'<Relationship Type="{kinds}/sharedStrings" Target="strings.xml" Id="rId9"/>'
    row = '<row><c t="s"><v>0</v></c></row>'
    path = edited(
        tmp_path / "review.xlsx",
        {
            "xl/_rels/workbook.xml.rels": {"</Relationships>": f"{strings}</Relationships>"},
            "xl/worksheets/sheet1.xml": {"</sheetData>": f"{row * 1000}</sheetData>"},
        },
    )
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("xl/strings.xml", f"<sst><si><t>{'a' * 10_000}</t></si></sst>")
    assert len(lp.read_review(path)) == 1
    with monkeypatch.context() as patched:
        patched.setattr(workbook, "MOST_LETTERS_OF_A_ROW", 9_999)
        with pytest.raises(ConfigurationError, match="more text than"):
            lp.read_review(path)
    monkeypatch.setattr(review_sheet, "FREE_LETTERS", 1000)
    with pytest.raises(ConfigurationError, match=r"its cells have more than [0-9,]+ characters"):
        lp.read_review(path)


def test_a_line_of_more_names_than_a_spreadsheet_has_columns_is_refused(tmp_path):
    path = tmp_path / "review.csv"
    for columns, says in ((16_385, "16,385 columns; a spreadsheet has 16,384"), (9, "'gold'")):
        path.write_text("," * (columns - 1) + "\n")
        with pytest.raises(ConfigurationError, match=says):
            lp.read_review(path)


def test_labels_that_are_too_many_for_a_cell_are_not_in_each_row_and_are_known_nevertheless(
    tmp_path,
):
    labels = [f"label {n}" for n in range(5000)]
    frame = pd.DataFrame({"t": ["a", "b"], "mood": pd.Categorical(labels[:2], categories=labels)})
    path = frame.llm.to_review(tmp_path / "review.csv", into="mood")
    assert path.stat().st_size < 1000  # of 100,000: as many labels in a thousand rows are gigabytes
    sheet = pd.read_csv(path, dtype=str)
    sheet.assign(gold=["Label 0 ", "label 4999"]).to_csv(path, index=False)
    assert frame.llm.score("mood", gold=lp.read_review(path)).accuracy == 0.5


def test_a_review_of_more_rows_than_a_spreadsheet_has_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(review_sheet, "SHEET", replace(review_sheet.SHEET, rows=100))
    path = tmp_path / "review.csv"
    for rows, refused in ((99, False), (100, True), (1000, True)):  # and the names
        path.write_text("gold\n" + "x\n" * rows)
        with pytest.raises(ConfigurationError, match="than 100 rows") if refused else nullcontext():
            assert len(lp.read_review(path)) == rows


def test_a_row_of_more_cells_than_excel_has_columns_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "MOST_TAGS_OF_A_ROW", 100)
    rows = ["<row>" + "<c/>" * cells + "</row>" for cells in (98, 98, 100)]
    for some, refused in ((rows[:2], False), (rows, True)):
        changes = {"xl/worksheets/sheet1.xml": {"</sheetData>": f"{''.join(some)}</sheetData>"}}
        path = edited(tmp_path / "review.xlsx", changes)
        with pytest.raises(ConfigurationError, match="more cells") if refused else nullcontext():
            assert len(lp.read_review(path)) == 1


def test_of_a_workbook_nothing_is_read_but_the_cells_of_its_first_sheet(tmp_path):
    # Each of these may be long, or be there by the thousand, and takes time for it in openpyxl.
    names = '<definedName name="_xlnm.Print_Titles" localSheetId="0">\'\'\'</definedName>'
    link = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    sheet = f'<sheet xmlns:r="{link}" name="2" sheetId="2" r:id="rId2"/>'
    book = {
        "<definedNames />": f"<definedNames>{names}</definedNames>",
        "</sheets>": f"{sheet}</sheets>",
    }
    second = f'<Relationship Type="{link}/worksheet" Target="/docProps/app.xml" Id="rId2"/>'
    path = edited(
        tmp_path / "review.xlsx",
        {
            "xl/workbook.xml": book,
            "xl/_rels/workbook.xml.rels": {
                'Id="rId2"': 'Id="rId9"',
                "<Relationship ": f"{second}<Relationship ",
            },
            "docProps/app.xml": {"<Properties": "no XML <"},
            "xl/worksheets/sheet1.xml": {
                "<sheetViews>": '<sheetViews odd="1"><sheetView odd="1"/>',
                "</sheetData>": "</sheetData><extLst><ext/></extLst>",
            },
        },
    )
    assert lp.read_review(path)["gold"].tolist() == ["a"]


def test_what_is_wrong_with_a_workbook_is_told_in_a_few_words(tmp_path):
    far = {"xl/worksheets/sheet1.xml": {'r="A2"': f'r="{"A" * 10_000}2"'}}
    with pytest.raises(ConfigurationError, match="cannot be read as a table") as told:
        lp.read_review(edited(tmp_path / "review.xlsx", far))
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize("part", ["workbook", "styles", "worksheets/sheet1"])
def test_no_word_of_a_workbook_stands_for_many(tmp_path, part):
    words = '<!DOCTYPE any [<!ENTITY many "gold">]>'
    root = {"workbook": "<workbook ", "styles": "<styleSheet ", "worksheets/sheet1": "<worksheet "}
    path = edited(
        tmp_path / "review.xlsx", {f"xl/{part}.xml": {root[part]: f"{words}{root[part]}"}}
    )
    with pytest.raises(ConfigurationError, match="it has a document type, which no workbook has"):
        lp.read_review(path)


@pytest.mark.parametrize(
    ("unfolds", "says"),
    [
        (f'<x xmlns:a="{"n" * 1001}"/>', "a namespace that is longer"),
        (f"<!--{'>' * 500_000}-->", "a tag or a remark that is longer"),
        (f'<x a="{">" * 500_000}"/>', "a tag or a remark that is longer"),
        ("<x>" * 1001 + "</x>" * 1001, "tags are deeper"),
        ("".join(f"<x{n}/>" for n in range(10_001)), "more names"),
        ("<x {}/>".format(" ".join(f'a{n}="1"' for n in range(1001))), "more names"),
    ],
    ids=["namespace", "remark", "tag", "depth", "names", "attributes"],
)
@pytest.mark.parametrize("part", ["xl/styles.xml", "xl/worksheets/sheet1.xml"])
def test_xml_of_a_workbook_that_unfolds_is_refused_before_it_is_read(tmp_path, part, unfolds, says):
    # With names written out, or looked at again and again, each is hours or gigabytes of kilobytes.
    last = {"xl/styles.xml": "</styleSheet>", "xl/worksheets/sheet1.xml": "</worksheet>"}[part]
    path = edited(tmp_path / "review.xlsx", {part: {last: f"{unfolds}{last}"}})
    with pytest.raises(ConfigurationError, match=says):
        lp.read_review(path)


def test_a_workbook_of_the_strict_kind_is_not_taken_for_an_empty_one(tmp_path):
    names = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    strict = {"xl/worksheets/sheet1.xml": {names: "http://purl.oclc.org/ooxml/spreadsheetml/main"}}
    with pytest.raises(ConfigurationError, match="another kind, such as Strict Open XML"):
        lp.read_review(edited(tmp_path / "review.xlsx", strict))


def test_a_format_of_a_workbook_is_looked_through_once_for_all_styles(tmp_path, monkeypatch):
    looks, is_date = [], numbers.is_date_format
    monkeypatch.setattr(numbers, "is_date_format", lambda code: looks.append(code) or is_date(code))
    long = '<numFmts><numFmt numFmtId="200" formatCode="yyyy{}"/></numFmts>'.format("[" * 1000)
    styles = {
        '<numFmts count="0" />': long,
        "</cellXfs>": '<xf numFmtId="200"/>' * 50 + "</cellXfs>",
    }
    cells = {"</sheetData>": '<row><c><v>1</v></c><c s="40"><v>46387</v></c></row></sheetData>'}
    path = edited(
        tmp_path / "review.xlsx", {"xl/styles.xml": styles, "xl/worksheets/sheet1.xml": cells}
    )
    assert lp.read_review(path)["gold"].tolist() == ["a", "2026-12-31 00:00:00"]
    assert looks.count("yyyy" + "[" * 251) == 1
    assert max(map(len, looks)) == 255


@pytest.mark.parametrize("part", ["what is compressed", "what it says"])
def test_a_workbook_that_is_damaged_is_an_error_of_ours(tmp_path, part):
    made, path = tmp_path / "made.xlsx", tmp_path / "review.xlsx"
    pd.DataFrame({"id": ["r1"], "gold": ["a"]}).to_excel(made, index=False)
    if part == "what it says":
        with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                odd = old.read(name).replace(b"<workbookView ", b'<workbookView odd="1" ')
                new.writestr(name, odd)
    else:
        raw = bytearray(made.read_bytes())
        with zipfile.ZipFile(made) as old:
            place = old.getinfo("xl/styles.xml").header_offset + 60
        raw[place : place + 20] = b"\xff" * 20
        path.write_bytes(raw)
    with pytest.raises(ConfigurationError, match="cannot be read as a table"):
        lp.read_review(path)
