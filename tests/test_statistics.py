"""Paired statistics on data whose answer is known: coverage, false positives, exact p-values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinelib.statistics import (
    bootstrap_interval,
    compare,
    corrected,
    holm,
    mean_interval,
    sign_flip_test,
    smallest_p,
)


def covered(draw, mean, n, runs):
    rng = np.random.default_rng(0)
    hits = [low <= mean <= high for low, high in (mean_interval(draw(rng, n)) for _ in range(runs))]
    return np.mean(hits)


@pytest.mark.parametrize(
    ("draw", "n"),
    [
        (lambda rng, n: rng.normal(1, 2, n), 2),
        (lambda rng, n: rng.normal(1, 2, n), 4),
        (lambda rng, n: rng.normal(1, 2, n), 8),
        (lambda rng, n: rng.exponential(1, n), 16),
    ],
    ids=["normal, n=2", "normal, n=4", "normal, n=8", "skewed, n=16"],
)
def test_intervals_cover_about_95_percent(draw, n):
    # Binomial standard error of 200 runs is 1.5 points.
    assert 0.90 <= covered(draw, 1.0, n, 200) <= 0.99


def test_sign_flips_reject_about_5_percent_of_true_nulls():
    rng = np.random.default_rng(1)
    rejected = np.mean([sign_flip_test(rng.normal(size=8)) < 0.05 for _ in range(600)])
    assert 0.02 <= rejected <= 0.07


def test_the_exact_p_of_one_sided_data_is_the_smallest_possible():
    assert sign_flip_test([0.3, 0.1, 0.2, 0.5]) == smallest_p(4) == 2 / 16


def test_the_exact_p_counts_ties_by_hand():
    # |sum| >= 2 for {1, 1, 1, -1}: all 16 patterns of +-1 have |sum| in {0, 2, 4}; 6 of them are 0.
    assert sign_flip_test([1, 1, 1, -1]) == 10 / 16


def test_sampled_p_agrees_with_a_normal_approximation_and_is_never_zero():
    rng = np.random.default_rng(2)
    differences = rng.normal(0.4, 1, 40)
    z = differences.sum() / np.sqrt((differences**2).sum())
    from scipy.stats import norm

    assert sign_flip_test(differences) == pytest.approx(2 * norm.sf(abs(z)), rel=0.35)
    assert sign_flip_test(np.full(30, 5.0)) > 0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.1, float("nan")])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_p_values_and_bonferroni(p):
    adjusted = holm(p)
    assert all(one <= fixed <= min(1, one * len(p)) + 1e-12 for one, fixed in zip(p, adjusted, strict=True))


def test_a_clear_difference_is_found_and_noise_is_not():
    rng = np.random.default_rng(3)
    base = rng.normal(size=8)
    family = corrected(
        {
            "better": compare(base, base + rng.normal(1.0, 0.2, 8)),
            "worse": compare(base, base - rng.normal(1.0, 0.2, 8)),
            "noise": compare(base, base + rng.normal(0.0, 1.0, 8)),
        }
    )
    assert family["better"].surely_positive and not family["better"].surely_negative
    assert family["worse"].surely_negative
    assert not family["noise"].surely_positive and not family["noise"].surely_negative
    assert family["better"].difference == pytest.approx(1.0, abs=0.2)


def test_equal_arms_have_no_difference():
    same = compare([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert same.difference == 0 and same.interval == (0, 0) and same.p == 1


def test_bootstrap_takes_any_statistic_and_repeats_exactly():
    values = np.random.default_rng(4).normal(size=50)
    assert bootstrap_interval(values, np.median) == bootstrap_interval(values, np.median)
    low, high = bootstrap_interval(values, np.median)
    assert low < np.median(values) < high


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0, 2.0], [1.0], "paired"),
        ([1.0, np.nan], [1.0, 2.0], r"NaN or infinity at \[1\]"),
        ([1.0], [2.0], "at least 2"),
    ],
)
def test_bad_arms_are_named(a, b, message):
    with pytest.raises(ValueError, match=message):
        compare(a, b)
