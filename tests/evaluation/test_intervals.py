"""Intervals, beside values of the literature, of other libraries and of a simulation."""

import numpy as np
import pandas as pd
import pytest

from lionproc.evaluation.intervals import Z, corrected, wilson
from lionproc.frame.accessor import FrameAccessor

# R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
NEWCOMBE = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("right", "n", "low", "high"), NEWCOMBE)
def test_the_interval_of_a_share_is_the_one_in_the_literature(right, n, low, high):
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (7, 50), (499, 500), (20, 20)])
def test_the_interval_of_a_share_is_that_of_scipy(right, n):
    from scipy.stats import binomtest  # takes seconds, of every worker of the suite

    theirs = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_shares_are_what_the_formula_gives_by_hand():
    """10 rows, 4 of them with gold: one good taken for bad, one with gold and no answer."""
    frame = pd.DataFrame(
        {
            "said": ["bad", "good", "bad", None, "good", "good", "bad", "good", "good", None],
            "gold": ["good", "good", "bad", "bad", *[None] * 6],
        }
    )
    shares = FrameAccessor(frame).score("said", gold="gold").shares.loc["good"]
    # 5 of 8 answers are good, and a row without an answer counts as 5/8 good. The errors of the
    # gold rows are 1 - 0, 1 - 1, 0 - 0 and 0 - 5/8.
    assert shares["answers"] == 0.625
    assert shares["share"] == pytest.approx(0.625 + (1 - 0.625) / 4)
    variance = (1 + 0.625**2 + 2) / 6 - ((1 - 0.625) / 6) ** 2
    half = Z * np.sqrt((1 - 4 / 10) * variance / 6)
    assert shares["low"] == pytest.approx(0.71875 - half)
    assert shares["high"] == pytest.approx(min(1, 0.71875 + half))


def test_shares_with_gold_in_every_row_are_those_of_the_gold():
    frame = pd.DataFrame({"said": list("aab"), "gold": list("abb")})
    shares = FrameAccessor(frame).score("said", gold="gold").shares
    assert shares.loc["b", ["share", "low", "high"]].tolist() == pytest.approx([2 / 3] * 3)


MANY = [[560, 30, 10], [140, 360, 100], [20, 80, 700]]  # says "second" much too rarely
FEW = [[885, 15, 0], [0, 590, 10], [5, 0, 495]]  # errors that 60 rows with gold may well lack


@pytest.mark.parametrize(
    ("population", "n", "most"), [(MANY, 150, 0.96), (MANY, 1020, 0.96), (FEW, 60, 1.0)]
)
def test_the_interval_of_a_share_holds_the_truth_in_95_of_100_draws(population, n, most):
    """Gold is drawn from a frame whose truth is known, 4,000 times."""
    frame = np.array(population)
    rows = int(frame.sum())
    truth, said = frame.sum(axis=1) / rows, frame.sum(axis=0) / rows
    draws = np.random.default_rng(7).multivariate_hypergeometric(frame.ravel(), n, size=4000)
    gold = draws.reshape(-1, 3, 3)
    right = np.einsum("kii->ki", gold)
    lost, taken = gold.sum(axis=2) - right, gold.sum(axis=1) - right
    share, low, high = corrected(said, lost - taken, lost + taken, n, rows)
    held = ((low <= truth) & (truth <= high)).mean(axis=0)
    assert (held >= 0.945).all()
    assert (held <= most).all()
    assert share.mean(axis=0) == pytest.approx(truth, abs=0.003)
