"""Is it better, or luck: the numbers are those of statsmodels, the words those of a person."""

import numpy as np
import pytest

from lionproc.evaluation.mcnemar import Pair, holm, p_value, rows_needed


def test_the_p_value_is_that_of_statsmodels_for_few_rows_and_for_many():
    from statsmodels.stats.contingency_tables import mcnemar

    random = np.random.default_rng(0)
    cases = [(0, 0), (1, 0), (0, 6), (7, 7), (900, 1000), (30_000, 30_500)]
    cases += [tuple(map(int, random.integers(0, 60, 2))) for _ in range(60)]
    for only_a, only_b in cases:
        theirs = mcnemar([[50, only_a], [only_b, 9]], exact=True).pvalue
        assert p_value(only_a, only_b) == pytest.approx(min(1.0, theirs), rel=1e-8)


def test_several_pairs_are_corrected_as_statsmodels_corrects_them():
    from statsmodels.stats.multitest import multipletests

    random = np.random.default_rng(1)
    for size in (1, 2, 6, 15):
        values = list(random.random(size) ** 3)
        assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])


def test_the_rows_that_are_said_to_be_needed_show_it_in_four_of_five_samples():
    needed = rows_needed(13, 5, 100)
    assert 200 < needed < 320
    random = np.random.default_rng(2)
    draws = random.multinomial(needed, [0.13, 0.05, 0.82], size=1000)
    shown = np.mean([p_value(int(a), int(b)) < 0.05 for a, b, _ in draws])
    assert 0.72 < shown < 0.86  # the exact test is a little stricter than the formula
    assert rows_needed(13, 5, 100, tests=6) > needed
    assert rows_needed(4, 4, 100) is None


@pytest.mark.parametrize(
    ("only_a", "only_b", "tests", "said"),
    [
        (1, 12, 1, "b is better than a: in 13 rows only one of them is right, 12 times the former"),
        (1, 12, 1, "and once the latter. Luck alone does that in 1 of 290 samples"),
        (1, 12, 6, "Luck alone does that in 2 of 100 samples (p = 0.021, for 6 pairs)."),
        (5, 13, 1, "b may be better than a, or lucky: in 18 rows only one of them is right"),
        (5, 13, 1, "samples (p = 0.096). If it is real, about 220 rows would show it."),
        (0, 4, 1, "fewer than 6 rows that differ show nothing, whichever way they fall. If it is"),
        (0, 6, 3, "The sample is too small: fewer than 7 rows that differ show nothing"),
        (6, 5, 1, "a and b show no difference: in 11 rows"),
        (6, 5, 6, "If there is a difference, it takes more than 10,000 rows to show."),
        (3, 3, 1, "a and b are equally good here: alone right in 3 rows each."),
        (0, 0, 1, "a and b are right and wrong in the same rows: 100 show no difference."),
    ],
)
def test_what_is_said_of_two_is_no_more_than_they_show(only_a, only_b, tests, said):
    p = p_value(only_a, only_b)
    pair = Pair("a", "b", 100, only_a, only_b, p, min(1.0, p * tests), tests)
    assert said in pair.words
    low, high = pair.interval
    assert low < pair.difference < high or only_a == only_b == 0


def test_two_that_share_no_row_are_not_compared():
    pair = Pair("a", "b", 0, 0, 0, 1.0, 1.0)
    assert pair.words == "a and b have answered no row with gold both."
    assert not pair.is_sure


def test_the_interval_of_a_difference_holds_the_truth_in_95_of_100_draws():
    random = np.random.default_rng(3)
    for only_a, only_b in ((0.1, 0.1), (0.05, 0.2), (0.0, 0.03)):
        draws = random.multinomial(60, [only_a, only_b, 1 - only_a - only_b], size=1000)
        held = 0
        for a, b, _ in draws:
            low, high = Pair("a", "b", 60, int(a), int(b), 1.0, 1.0).interval
            held += low <= only_b - only_a <= high
        assert held >= 935
