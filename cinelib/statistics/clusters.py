"""Numbers that share a clip or a training run: neither is independent of its neighbours."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cinelib.statistics.intervals import nearly_equal

if TYPE_CHECKING:
    import pandas as pd


def two_way_bootstrap(
    values: np.ndarray, level: float = 0.95, repeats: int = 4000, seed: int = 0
) -> tuple[float, float] | None:
    """Interval for the mean of values (runs, clips) when both runs and clips are samples.

    Runs and clips are drawn apart, each with replacement (the pigeonhole bootstrap, Owen 2007), one fewer
    than there are and weighted up, so that few runs do not look alike (Rao & Wu 1988). Deviations are
    stretched from the normal's quantile to Student's at Satterthwaite's degrees of freedom: three training
    runs know little about a fourth.

    Returns:
        low and high, or None when nearly all values are equal. The order of runs and clips changes nothing.

    Raises:
        ValueError: fewer than 2 runs or clips, NaN.
    """
    from scipy.stats import norm, t

    values = _ordered(_matrix(values))
    if nearly_equal(values.ravel()):
        return None
    runs, clips = values.shape
    rng = np.random.default_rng(seed)
    by_run, by_clip = (_weights(rng, count, repeats) for count in (runs, clips))
    draws = np.einsum("br,rc,bc->b", by_run, values, by_clip, optimize=True)
    of_runs = values.mean(axis=1).var(ddof=1) / runs
    of_clips = values.mean(axis=0).var(ddof=1) / clips
    mean = float(values.mean())
    if of_runs + of_clips == 0:
        return None
    freedom = (of_runs + of_clips) ** 2 / (of_runs**2 / (runs - 1) + of_clips**2 / (clips - 1))
    tail = (1 + level) / 2
    stretch = float(t.ppf(tail, freedom) / norm.ppf(tail))
    low, high = np.quantile(draws, [1 - tail, tail]) - mean
    return mean + stretch * float(low), mean + stretch * float(high)


@dataclass(frozen=True)
class MixedModel:
    """Fixed effects with 95 % t intervals and p-values, standard deviations of the random effects."""

    effects: Mapping[str, tuple[float, float, float, float]]  # estimate, low, high, p
    freedom: Mapping[str, int]  # degrees of freedom of each effect's t
    deviations: Mapping[str, float]  # of each random effect, and of the residual
    n: int


def mixed_model(table: "pd.DataFrame", formula: str, random: Sequence[str]) -> MixedModel:
    """Linear mixed model with crossed random intercepts, by statsmodels' MixedLM (REML).

    Intervals and p-values are Student's, not normal. The degrees of freedom go by containment: an effect
    that is constant within every run, such as the arm, is known from as many values as there are runs, less
    the between-run effects (2 arms of 3 runs: 4). The fewest count where an effect is constant within
    several random columns; one that varies within all of them has the residual's. So balanced data get the
    exact t-test on run means; with normal quantiles 3 runs an arm had 12 % false positives for 5 %.

    Args:
        table: one row an observation.
        formula: such as "score ~ rank * world", in patsy's language.
        random: columns whose levels are samples, such as ["clip", "run"].

    Raises:
        ValueError: a random column with fewer than 2 levels, missing values, no degree of freedom left for
            an effect, or a fit that does not converge.
    """
    import pandas as pd
    import statsmodels.formula.api as smf

    for column in random:
        if table[column].nunique() < 2:
            raise ValueError(f"random effect {column!r} has {table[column].nunique()} level(s); 2 are needed")
    if table.isna().any(axis=None):
        raise ValueError(f"the table has missing values in {table.columns[table.isna().any()].tolist()}")
    parts = {column: f"0 + C({column})" for column in random}
    with warnings.catch_warnings():
        # A variance at its boundary, 0, is an answer here, and is shown as such.
        warnings.simplefilter("ignore")
        model = smf.mixedlm(formula, table, groups=np.ones(len(table)), vc_formula=parts)
        fit = model.fit(reml=True, method=["lbfgs", "powell"])
    if not fit.converged or not np.isfinite(fit.bse_fe).all():
        raise ValueError(f"the mixed model {formula!r} did not converge; leave out a random effect")
    freedom = _freedom(pd.DataFrame(model.exog, columns=model.exog_names), table, random)
    effects = {
        name: _tested(float(fit.fe_params[name]), float(fit.bse_fe[name]), freedom[name]) for name in freedom
    }
    # statsmodels keeps the components sorted by name.
    found = zip(sorted(random), np.sqrt(np.maximum(fit.vcomp, 0)), strict=True)
    deviations = {name: float(value) for name, value in found} | {"residual": float(np.sqrt(fit.scale))}
    return MixedModel(effects, freedom, deviations, len(table))


def _freedom(design: "pd.DataFrame", table: "pd.DataFrame", random: Sequence[str]) -> dict[str, int]:
    """Degrees of freedom of each fixed effect, by containment in the random columns."""
    import pandas as pd

    dummies = [pd.get_dummies(table[column]).to_numpy(float) for column in random]
    left = len(table) - int(np.linalg.matrix_rank(np.hstack([design.to_numpy(), *dummies])))
    freedom = dict.fromkeys(design.columns, left)
    for column in random:
        groups = design.groupby(table[column].to_numpy())
        fixed = (groups.max() - groups.min()).max() == 0
        between = design.columns[fixed]
        count = groups.ngroups - int(np.linalg.matrix_rank(design[between].to_numpy()))
        freedom |= {name: min(freedom[name], count) for name in between}
    if none := [name for name, count in freedom.items() if count < 1]:
        raise ValueError(f"no degree of freedom is left for {', '.join(none)}: more runs or clips are needed")
    return freedom


def _tested(estimate: float, error: float, freedom: int) -> tuple[float, float, float, float]:
    from scipy.stats import t

    reach = float(t.ppf(0.975, freedom)) * error
    p = float(2 * t.sf(abs(estimate) / error, freedom)) if error else float(estimate == 0)
    return estimate, estimate - reach, estimate + reach, p


def _ordered(values: np.ndarray) -> np.ndarray:
    """The matrix with clips, then runs, in an order that depends on their values alone."""
    # Sorted contents place a column whatever the rows' order is, and the other way round; whole contents,
    # in the order then found, part those that hold the same values differently.
    values = values[:, np.lexsort(np.sort(values, axis=0)[::-1])]
    values = values[np.lexsort(np.sort(values, axis=1).T[::-1])]
    values = values[:, np.lexsort(values[::-1])]
    return values[np.lexsort(values.T[::-1])]


def _weights(rng: np.random.Generator, count: int, repeats: int) -> np.ndarray:
    """(repeats, count) weights that sum to 1 and vary as a sample of `count` does."""
    return rng.multinomial(count - 1, np.full(count, 1 / count), repeats) / (count - 1)


def _matrix(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"values must be (runs, clips), 2 of each at least, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values hold NaN or infinity")
    return values
