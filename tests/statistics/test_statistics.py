"""Paired statistics on data whose answer is known: coverage, false positives, exact p-values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from cinelib.statistics import (
    FEWEST,
    compare,
    corrected,
    detectable_difference,
    holm,
    jonckheere,
    mean_interval,
    mixed_model,
    paired_power,
    pairs_needed,
    permutation_test,
    sign_flip_test,
    smallest_p,
    two_way_bootstrap,
    why_no_interval,
)
from cinelib.statistics.clusters import _weights
from cinelib.statistics.intervals import spans
from cinelib.statistics.planning import surely_positive

_AT_CEILING = 1 - 0.25 * (norm.pdf(1) - norm.sf(1))  # E min(X, 1) of a normal X
_DRAWS = {  # distribution: how to draw values of a shape, their true mean
    "normal": (lambda rng, shape: rng.normal(1, 2, shape), 1.0),
    "exponential": (lambda rng, shape: rng.exponential(1, shape), 1.0),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 1, shape), np.exp(0.5)),
    "near 1": (lambda rng, shape: rng.beta(8, 0.5, shape), 8 / 8.5),
    "half at 1": (lambda rng, shape: np.minimum(rng.normal(1, 0.25, shape), 1), 1 - 0.25 * norm.pdf(0)),
    "5 of 6 at 1": (lambda rng, shape: np.minimum(rng.normal(1.25, 0.25, shape), 1), _AT_CEILING),
    "two peaks": (lambda rng, shape: rng.normal(rng.choice([-1, 1], shape), 0.3), 0.0),
    "three levels": (lambda rng, shape: rng.choice([0, 0.5, 1], shape, p=[0.1, 0.3, 0.6]), 0.75),
    "coin": (lambda rng, shape: (rng.random(shape) < 0.5).astype(float), 0.5),
}


@pytest.mark.parametrize("n", [7, 8, 12, 24, 40])
@pytest.mark.parametrize("kind", _DRAWS)
def test_intervals_cover_where_they_are_given(kind, n):
    draw, mean = _DRAWS[kind]
    samples = np.sort(draw(np.random.default_rng(0), (2000, n)), axis=1)
    given = ~((samples[:, 0] == samples[:, -2]) | (samples[:, 1] == samples[:, -1]))  # all but one are equal
    low, high = spans(samples[given])
    inside = (samples[given].min(axis=1) <= low) & (high <= samples[given].max(axis=1))
    assert inside.all(), "an interval never leaves what was seen"
    # Binomial standard error of 2000 samples is 0.5 points.
    lowest = {"normal": 0.94, "lognormal": 0.895}.get(kind, 0.91)
    assert lowest <= np.mean((low <= mean) & (mean <= high))
    if kind == "normal":
        reach = 2 * norm.ppf(0.975) * 2 / np.sqrt(n)
        assert np.median(high - low) < 1.5 * reach, "and it is not wide for nothing"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=7, max_size=12), st.floats(-3, 3))
def test_an_interval_that_leaves_a_number_out_agrees_with_the_exact_test(values, number):
    span = mean_interval(values)
    if span and (number < span[0] - 1e-6 or number > span[1] + 1e-6):
        inside = min(values) < number < max(values)
        assert not inside or sign_flip_test(np.array(values) - number) < 0.05


def test_the_interval_of_symmetric_values_is_the_exact_tests_inverted():
    values = np.array([-4.0, -3, -2, -1, 1, 2, 3, 4])
    low, high = mean_interval(values)
    assert low == -high
    just = 1e-6
    assert sign_flip_test(values - (low - just)) < 0.05 <= sign_flip_test(values - (low + just))


def test_values_that_carry_no_interval_say_why():
    assert mean_interval([1.0] * 8) is mean_interval([1.0] * 7 + [0.4]) is None
    assert mean_interval([0.1 + 0.2] + [0.3] * 7) is None, "equal but for rounding"
    assert mean_interval([1.0] * 6 + [0.4, 0.9]) is not None
    assert mean_interval([1.0, 2, 4, 8, 3, 5]) is None and mean_interval([1.0, 2, 4, 8, 3, 5, 6]) is not None
    whole = [0.0, 1] * 4
    assert mean_interval(whole) and mean_interval(whole, within=(0, 1)) is None
    assert why_no_interval([1.0] * 8) == "no interval: nearly all values are equal"
    assert why_no_interval([1.0, 2]) == f"no interval: 2 values, and {FEWEST} are needed"
    assert "all that is possible" in why_no_interval(whole, within=(0, 1))
    assert why_no_interval(whole) is None
    with pytest.raises(ValueError, match="do not lie in"):
        mean_interval([*whole, 1.5], within=(0, 1))


def test_arms_that_are_nearly_equal_or_few_are_never_sure():
    stuck = compare([0.0] * 8, [1.0] * 8)
    assert stuck.interval is None and stuck.p == 2 / 2**8
    assert not stuck.surely_positive and not stuck.surely_negative
    few = compare([0.0] * 6, [1.0, 2, 3, 4, 5, 6])
    assert few.p < 0.05 and not few.surely_positive


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-5, 5), min_size=8, max_size=24),
    st.integers(0, 2**32 - 1),
)
def test_the_order_of_clips_changes_no_bit(values, seed):
    order = np.random.default_rng(seed).permutation(len(values))
    a, b = np.array(values), np.sin(np.arange(len(values)))
    assert mean_interval(a) == mean_interval(a[order])
    assert compare(a, b) == compare(a[order], b[order])
    assert permutation_test(a, b, repeats=50) == permutation_test(a[order], b[order], repeats=50)
    groups = a[:4], a[4:], b
    mixed = a[:4][::-1], a[4:][::-1], b[order]
    assert jonckheere(groups, repeats=50) == jonckheere(mixed, repeats=50)


@pytest.mark.parametrize("whole", [False, True], ids=["measured", "counts with ties"])
def test_the_order_of_runs_and_clips_changes_no_bit(whole):
    rng = np.random.default_rng(14)
    values = rng.integers(0, 3, (3, 12)).astype(float) if whole else rng.normal(size=(3, 12))
    span = two_way_bootstrap(values, repeats=200)
    for _ in range(20):
        moved = values[rng.permutation(3)][:, rng.permutation(12)]
        assert two_way_bootstrap(moved, repeats=200) == span


def test_sign_flips_reject_about_5_percent_of_true_nulls():
    rng = np.random.default_rng(1)
    rejected = np.mean([sign_flip_test(rng.normal(size=8)) < 0.05 for _ in range(10_000)])
    assert rejected == pytest.approx(12 / 256, abs=0.007), "exact p are multiples of 2/256"


def test_the_exact_p_of_one_sided_data_is_the_smallest_possible():
    assert sign_flip_test([0.3, 0.1, 0.2, 0.5]) == smallest_p(4) == 2 / 16


def test_the_exact_p_counts_ties_by_hand():
    # |sum| >= 2 for {1, 1, 1, -1}: all 16 patterns of +-1 have |sum| in {0, 2, 4}; 6 of them are 0.
    assert sign_flip_test([1, 1, 1, -1]) == 10 / 16


def test_sampled_p_agrees_with_a_normal_approximation_and_is_never_zero():
    rng = np.random.default_rng(2)
    differences = rng.normal(0.4, 1, 40)
    z = differences.sum() / np.sqrt((differences**2).sum())
    assert sign_flip_test(differences) == pytest.approx(2 * norm.sf(abs(z)), rel=0.35)
    assert sign_flip_test(np.full(30, 5.0)) > 0


def test_ties_count_where_scipy_parts_them_by_rounding():
    from scipy.stats import permutation_test as scipys

    differences = [-0.2, -0.1, -0.1, 0.1, 0.1, 0.2]  # the sum is 0: all 64 patterns are as extreme
    assert sign_flip_test(differences) == 1
    theirs = scipys((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert theirs.pvalue < 0.95


@pytest.mark.parametrize(
    ("seed", "n", "whole", "flips", "adjusted"),
    [
        (20, 4, False, 0.25, [0.138, 0.0, 0.003, 0.959]),
        (21, 8, False, 0.703125, [0.9119999999999999, 0.9119999999999999, 0.032, 0.9119999999999999]),
        (22, 12, True, 0.716796875, [1.0, 1.0, 0.0, 0.513]),
        (23, 16, False, 0.2608642578125, [0.632, 0.732, 0.732, 0.732]),
        (24, 24, False, 0.19949002549872508, [0.734, 0.734, 0.004, 0.30300000000000005]),
    ],
)
def test_values_are_those_of_committed_figures(seed, n, whole, flips, adjusted):
    rng = np.random.default_rng(seed)
    values = rng.integers(-2, 3, n).astype(float) if whole else rng.normal(0.3, 1, n)
    assert sign_flip_test(values) == flips
    assert holm(np.round(rng.random(4) ** 3, 3)) == adjusted


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


def test_holm_is_statsmodels():
    from statsmodels.stats.multitest import multipletests

    for p in np.random.default_rng(4).random((5, 7)).round(2):
        assert holm(p) == multipletests(p, method="holm")[1].tolist()


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
    same = compare([1.0, 2.0, 3.0] * 3, [1.0, 2.0, 3.0] * 3)
    assert same.difference == 0 and same.interval is None and same.p == 1


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


def crossed(rng, runs, clips, of_run=1.0, of_clip=2.0, noise=1.0):
    """Values (runs, clips) with mean 0: luck of the run, difficulty of the clip, and the rest."""
    table = rng.normal(0, of_run, (runs, 1)) + rng.normal(0, of_clip, (1, clips))
    return table + rng.normal(0, noise, (runs, clips))


@pytest.mark.parametrize(("runs", "clips"), [(3, 12), (5, 40)])
def test_two_way_intervals_cover_about_95_percent(runs, clips):
    rng = np.random.default_rng(5)
    spans = [two_way_bootstrap(crossed(rng, runs, clips), repeats=600) for _ in range(1000)]
    assert 0.93 <= np.mean([low <= 0 <= high for low, high in spans]) <= 0.98


def test_an_interval_over_clips_alone_is_too_narrow_when_runs_differ():
    rng = np.random.default_rng(6)
    tables = [crossed(rng, 3, 40, of_run=2.0, of_clip=0.5) for _ in range(150)]
    naive = np.mean([low <= 0 <= high for low, high in (mean_interval(t.mean(axis=0)) for t in tables)])
    both = [two_way_bootstrap(table, repeats=600) for table in tables]
    assert naive < 0.5 < 0.9 < np.mean([low <= 0 <= high for low, high in both])


def test_two_way_intervals_need_two_of_each():
    for shape in ((1, 8), (8, 1), (8,)):
        with pytest.raises(ValueError, match=r"values must be \(runs, clips\)"):
            two_way_bootstrap(np.ones(shape))
    assert two_way_bootstrap(np.full((3, 4), 2.0)) is None


def test_permutations_of_two_groups_are_exact_and_hold_their_level():
    # 3 against 3, fully apart: 2 of the 20 deals are as extreme.
    assert permutation_test([1, 2, 3], [7, 8, 9]) == pytest.approx(2 / 20)
    rng = np.random.default_rng(7)
    p = np.array([permutation_test(*rng.normal(size=(2, 5)), repeats=300) for _ in range(1000)])
    assert 0.03 <= np.mean(p < 0.05) <= 0.07


def test_a_trend_is_counted_by_hand_and_agrees_with_kendalls_normal_approximation():
    from scipy.stats import kendalltau

    groups = [[1.0, 2.0], [2.5, 3.0], [4.0, 5.0]]
    assert jonckheere(groups).tau == 1
    assert jonckheere(groups[::-1]).tau == -1
    # Of the 6!/(2! 2! 2!) = 90 deals, only the two perfectly ordered ones are as extreme.
    assert jonckheere(groups).p == pytest.approx(2 / 90, abs=0.006)
    rng = np.random.default_rng(8)
    groups = [rng.normal(0.3 * k, 1, 10) for k in range(4)]
    level = np.repeat(np.arange(4), 10)
    reference = kendalltau(level, np.concatenate(groups), method="asymptotic").pvalue
    assert jonckheere(groups).p == pytest.approx(reference, rel=0.3, abs=0.01)


def test_trends_hold_their_level():
    rng = np.random.default_rng(9)
    p = np.array([jonckheere(rng.normal(size=(3, 4)), repeats=300).p for _ in range(1000)])
    # Few distinct tau and 301 sampled deals keep it below 5 %.
    assert 0.015 <= np.mean(p < 0.05) <= 0.055
    with pytest.raises(ValueError, match="3 groups"):
        jonckheere([[1.0], [2.0]])


def observations(seed, effect, runs=4, clips=10):
    import pandas as pd

    rng = np.random.default_rng(seed)
    luck, hard = rng.normal(0, 1, 2 * runs), rng.normal(0, 2, clips)
    rows = [
        {"arm": arm, "run": f"{arm}{run}", "clip": clip, "score": score}
        for arm in (0, 1)
        for run in range(runs)
        for clip, score in enumerate(effect * arm + luck[arm * runs + run] + hard + rng.normal(0, 1, clips))
    ]
    return pd.DataFrame(rows)


def test_the_mixed_model_finds_effect_and_deviations():
    table = observations(11, effect=6.0, runs=8, clips=20)
    fit = mixed_model(table, "score ~ arm", ["run", "clip"])
    estimate, low, high, p = fit.effects["arm"]
    means = table.groupby("arm")["score"].mean()
    assert estimate == pytest.approx(means[1] - means[0], abs=1e-4), "balanced data"
    assert low < 6.0 < high and p < 0.001 and fit.n == 320
    assert fit.freedom == {"Intercept": 14, "arm": 14}, "16 runs less 2 arms"
    assert fit.deviations["residual"] == pytest.approx(1, rel=0.2)
    assert fit.deviations["clip"] > fit.deviations["run"] > 0.4


def test_balanced_data_get_the_exact_t_test_on_run_means():
    from scipy.stats import ttest_ind

    table = observations(15, effect=1.0, runs=3)
    means = table.groupby(["arm", "run"])["score"].mean()
    exact = ttest_ind(means[1], means[0])
    low, high = exact.confidence_interval(0.95)
    assert mixed_model(table, "score ~ arm", ["run", "clip"]).effects["arm"] == pytest.approx(
        (means[1].mean() - means[0].mean(), low, high, exact.pvalue), rel=1e-3
    )


def test_degrees_of_freedom_go_by_what_an_effect_is_constant_in():
    table = observations(16, effect=0.0, runs=4, clips=10)
    table["world"], table["luck"] = table["clip"] % 2, np.random.default_rng(16).normal(size=len(table))
    freedom = mixed_model(table, "score ~ arm * world + luck", ["run", "clip"]).freedom
    # 8 runs and 10 clips, 2 effects between either; the rest of 80 rows less 5 + 6 + 8 columns.
    assert freedom["arm"] == 6 and freedom["world"] == 8 and freedom["Intercept"] == 6
    assert freedom["arm:world"] == freedom["luck"] == 80 - (8 + 10 - 1) - 2


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, 5])
def test_the_mixed_model_covers_95_percent_and_rejects_5_percent_of_true_nulls(runs):
    def effects(effect, seeds):
        tables = [observations(seed, effect, runs=runs) for seed in seeds]
        fits = [mixed_model(table, "score ~ arm", ["run", "clip"]) for table in tables]
        return np.array([fit.effects["arm"] for fit in fits])

    _, low, high, _ = effects(0.7, range(500)).T
    assert np.mean((low <= 0.7) & (high >= 0.7)) == pytest.approx(0.95, abs=0.03)
    assert np.mean(effects(0.0, range(500, 1000))[:, 3] < 0.05) == pytest.approx(0.05, abs=0.03)


def test_the_mixed_model_refuses_what_it_cannot_fit():
    table = observations(12, effect=0.0)
    with pytest.raises(ValueError, match="1 level"):
        mixed_model(table.assign(run="one"), "score ~ arm", ["run", "clip"])
    with pytest.raises(ValueError, match="no degree of freedom is left for Intercept, arm"):
        mixed_model(observations(12, effect=0.0, runs=1), "score ~ arm", ["run", "clip"])
    table.loc[0, "score"] = np.nan
    with pytest.raises(ValueError, match=r"missing values in \['score'\]"):
        mixed_model(table, "score ~ arm", ["clip"])


@pytest.mark.parametrize(("n", "family"), [(8, 1), (8, 6), (12, 6)])
def test_power_is_what_the_notebooks_own_rule_reaches(n, family):
    rng = np.random.default_rng(13)
    effect, reached = 1.3, 0
    for _ in range(300):
        pairs = rng.normal(effect, 1, n)
        nothing = {f"{k}": compare(np.zeros(n), np.tile([1.0, -1], n // 2)) for k in range(family - 1)}
        reached += corrected({"asked": compare(np.zeros(n), pairs), **nothing})["asked"].surely_positive
    assert paired_power(effect, 1, n, family=family) == pytest.approx(reached / 300, abs=0.07)


def test_a_t_tests_eight_of_ten_is_less_under_the_rule():
    from statsmodels.stats.power import TTestPower

    effect = TTestPower().solve_power(nobs=8, alpha=0.05, power=0.8)
    assert paired_power(effect, 1, 8) < 0.75
    effect = TTestPower().solve_power(nobs=8, alpha=0.05 / 6, power=0.8)
    assert paired_power(effect, 1, 8, family=6) < 0.75


def test_a_study_of_the_planned_size_finds_what_it_was_planned_for():
    needed = pairs_needed(0.8, 1, family=3)
    assert paired_power(0.8, 1, needed, family=3) >= 0.8 > paired_power(0.8, 1, needed - 2, family=3)
    smallest = detectable_difference(1, needed, family=3)
    assert 0.7 < smallest <= 0.81
    assert paired_power(smallest, 1, needed, family=3) >= 0.8
    assert detectable_difference(2, needed, family=3) == pytest.approx(2 * smallest)
    # Simulated to 200 pairs, a formula beyond: no step where they meet.
    assert paired_power(0.2, 1, 201) == pytest.approx(paired_power(0.2, 1, 200), abs=0.02)


def test_few_pairs_have_no_power_whatever_the_effect():
    assert paired_power(100, 1, 6) == 0
    assert detectable_difference(1, 6) == np.inf
    assert pairs_needed(100, 1) == FEWEST
    assert pairs_needed(100, 1, family=6) == 8, "6 x 2/2^7 is above 5 %"
    assert detectable_difference(1, 8, family=7) == np.inf, "7 x 2/2^8 is too"
    with pytest.raises(ValueError, match="difference of 0"):
        pairs_needed(0, 1)
    for wrong in ({"deviation": 0}, {"n": 1}, {"alpha": 1.0}, {"family": 0}):
        with pytest.raises(ValueError, match="need deviation"):
            paired_power(**({"difference": 1, "deviation": 1, "n": 8} | wrong))


def test_simulated_nulls_are_surely_positive_in_half_of_5_percent():
    nulls = np.random.default_rng(14).normal(size=(20_000, 8))
    assert np.mean(surely_positive(nulls)) == pytest.approx(0.021, abs=0.004)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_two_way_weights_vary_as_the_mean_of_one_fewer(count):
    """Of n values n - 1 are drawn (Rao and Wu): the mean's variance is s^2 / n, not (n - 1) / n of it."""
    drawn = _weights(np.random.default_rng(0), count, 40_000)
    np.testing.assert_allclose(drawn.sum(axis=1), 1)
    np.testing.assert_allclose(np.unique(drawn), np.arange(count) / (count - 1))
    values = np.random.default_rng(1).normal(0, 1, count)
    assert (drawn @ values).var() == pytest.approx(values.var(ddof=1) / count, rel=0.05)
