"""How sure answers were against how often they are right, and which rows somebody should look at."""

import json

import numpy as np
import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import ConfigurationError


def sure_frame(rows=1000, seed=0, labelled=1.0):
    """Answers that are right as often as they are sure."""
    rng = np.random.default_rng(seed)
    sure = rng.beta(5, 1, rows)
    gold = rng.choice(["a", "b"], rows)
    said = np.where(rng.random(rows) < sure, gold, np.where(gold == "a", "b", "a"))
    known = rng.random(rows) < labelled
    return pd.DataFrame(
        {
            "said": pd.Categorical(said, categories=["a", "b"]),
            "said_confidence": pd.array(sure, dtype="Float64"),
            "gold": pd.array(np.where(known, gold, None), dtype="string"),
        }
    )


def test_reliability_is_the_accuracy_of_each_tenth():
    frame = sure_frame()
    score = frame.llm.score("said", gold="gold")
    table = score.reliability
    ranked = frame.assign(right=frame["said"].astype(str) == frame["gold"]).sort_values(
        "said_confidence"
    )
    assert len(table) == 10
    for place in range(10):
        part = ranked.iloc[100 * place : 100 * (place + 1)]
        row = table.iloc[place]
        assert row["n"] == 100
        assert row["from"] == part["said_confidence"].min()
        assert row["to"] == part["said_confidence"].max()
        assert row["confidence"] == pytest.approx(part["said_confidence"].mean())
        assert row["accuracy"] == pytest.approx(part["right"].mean())
        assert row["low"] <= row["accuracy"] <= row["high"]
    inside = (table["low"] <= table["confidence"]) & (table["confidence"] <= table["high"])
    assert inside.sum() >= 8  # it is calibrated


def test_coverage_is_the_most_rows_that_are_right_so_often_and_review_is_the_rest():
    frame = sure_frame(labelled=0.4)
    score = frame.llm.score("said", gold="gold")
    cover = score.coverage
    right = (frame["said"].astype(str) == frame["gold"]).where(frame["gold"].notna())
    above = frame["said_confidence"] >= cover.threshold
    assert right[above].mean() >= 0.95
    assert (cover.n, cover.right) == (int(right[above].count()), int(right[above].sum()))
    assert cover.share == above.mean()
    for threshold in frame["said_confidence"][frame["said_confidence"] < cover.threshold]:
        wider = right[frame["said_confidence"] >= threshold]
        assert wider.mean() < 0.95
        break
    looser = [t for t in frame["said_confidence"][frame["gold"].notna()] if t < cover.threshold]
    assert all(right[frame["said_confidence"] >= t].mean() < 0.95 for t in looser)
    look = score.review()
    assert len(look) == len(frame) - cover.rows
    assert sorted(look.index) == sorted(frame.index[~above])
    assert look["said_confidence"].is_monotonic_increasing
    assert len(score.review(accuracy=0.5)) < len(look)
    assert len(score.review(accuracy=1.0)) > len(look)


def test_rows_without_an_answer_or_a_confidence_are_always_to_be_looked_at():
    frame = sure_frame(200)
    frame.loc[3, "said"] = None
    frame.loc[4, "said_confidence"] = None
    look = frame.llm.score("said", gold="gold").review(0.6)
    assert look.index[:2].tolist() == [3, 4]


def test_equal_confidences_stay_together_as_the_shares_of_votes_are():
    frame = pd.DataFrame(
        {
            "said": ["a"] * 10,
            "said_confidence": [0.6] * 4 + [1.0] * 6,
            "gold": ["b", "b", "a", "a"] + ["a"] * 6,
        }
    )
    score = frame.llm.score("said", gold="gold")
    assert score.reliability[["from", "to", "n", "accuracy"]].to_numpy().tolist() == [
        [0.6, 0.6, 4, 0.5],
        [1.0, 1.0, 6, 1.0],
    ]
    assert (score.coverage.threshold, score.coverage.rows) == (1.0, 6)
    assert score.review(accuracy=0.8).empty
    assert len(score.review(accuracy=0.9)) == 4


def test_a_row_that_stands_for_several_counts_as_they_would():
    frame = sure_frame(300).assign(text=[f"row {n}" for n in range(300)])
    weight = np.random.default_rng(2).integers(1, 9, 300)
    review = frame[["text", "gold"]].assign(weight=weight.astype(float))
    weighted = frame.drop(columns="gold").llm.score("said", gold=review)
    repeated = frame.loc[frame.index.repeat(weight)].llm.score("said", gold="gold")
    assert weighted.coverage.threshold == repeated.coverage.threshold
    assert weighted.coverage.seen == pytest.approx(repeated.coverage.seen)
    assert weighted.coverage.seen != frame.llm.score("said", gold="gold").coverage.seen


def test_where_no_confidence_is_enough_all_rows_are_to_be_looked_at():
    frame = sure_frame(300).assign(gold="a", said="b")
    score = frame.llm.score("said", gold="gold")
    assert (score.coverage.threshold, score.coverage.share) == (None, 0.0)
    assert len(score.review()) == 300
    assert "look at all rows" in repr(score)


def test_without_confidences_there_is_no_reliability_and_review_says_what_makes_them():
    frame = sure_frame(50).drop(columns="said_confidence")
    score = frame.llm.score("said", gold="gold")
    assert score.reliability is None
    assert score.coverage is None
    with pytest.raises(ConfigurationError, match=r"confidence=True, or votes=5.*said_confidence"):
        score.review()


def test_what_is_no_share_and_no_confidence_is_refused():
    frame = sure_frame(50)
    score = frame.llm.score("said", gold="gold")
    for accuracy in (0, 1.01, 95, True, "0.9", None):
        with pytest.raises(ConfigurationError, match="share"):
            score.review(accuracy)
    percent = frame.assign(said_confidence=frame["said_confidence"] * 100)
    with pytest.raises(ConfigurationError, match="confidences are from 0 to 1"):
        percent.llm.score("said", gold="gold")


def test_the_card_the_dict_and_the_picture_have_it():
    score = sure_frame(400).llm.score("said", gold="gold")
    told = repr(score)
    assert ".review(accuracy=0.95)" in told
    assert f"{100 * score.coverage.share:.1f} % of the rows" in told
    assert "confidence" in score._repr_html_()
    made = json.loads(json.dumps(score.as_dict()))
    assert len(made["reliability"]) == 10
    assert made["coverage"]["threshold"] == score.coverage.threshold
    figure = score.plot()
    assert [axis.get_title(loc="left") for axis in figure.axes][-1].startswith("Right, by how sure")


def test_an_lp_score_is_what_comes_back():
    assert isinstance(sure_frame(30).llm.score("said", gold="gold"), lp.Score)
