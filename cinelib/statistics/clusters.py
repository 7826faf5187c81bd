"""Numbers that share a clip or a training run: neither is independent of its neighbours."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def two_way_bootstrap(
    values: np.ndarray, level: float = 0.95, repeats: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Interval for the mean of values (runs, clips) when both runs and clips are samples.

    Runs and clips are drawn apart, each with replacement (the pigeonhole bootstrap, Owen 2007), one fewer
    than there are and weighted up, so that few runs do not look alike (Rao & Wu 1988). Deviations are
    stretched from the normal's quantile to Student's at Satterthwaite's degrees of freedom: three training
    runs know little about a fourth.

    Raises:
        ValueError: fewer than 2 runs or clips, NaN.
    """
    from scipy.stats import norm, t

    values = _matrix(values)
    runs, clips = values.shape
    rng = np.random.default_rng(seed)
    by_run, by_clip = (_weights(rng, count, repeats) for count in (runs, clips))
    draws = np.einsum("br,rc,bc->b", by_run, values, by_clip, optimize=True)
    of_runs = values.mean(axis=1).var(ddof=1) / runs
    of_clips = values.mean(axis=0).var(ddof=1) / clips
    mean = float(values.mean())
    if of_runs + of_clips == 0:
        return mean, mean
    freedom = (of_runs + of_clips) ** 2 / (of_runs**2 / (runs - 1) + of_clips**2 / (clips - 1))
    tail = (1 + level) / 2
    stretch = float(t.ppf(tail, freedom) / norm.ppf(tail))
    low, high = np.quantile(draws, [1 - tail, tail]) - mean
    return mean + stretch * float(low), mean + stretch * float(high)


@dataclass(frozen=True)
class MixedModel:
    """Fixed effects with 95 % Wald intervals and p-values, standard deviations of the random effects."""

    effects: Mapping[str, tuple[float, float, float, float]]  # estimate, low, high, p
    deviations: Mapping[str, float]  # of each random effect, and of the residual
    n: int


def mixed_model(table: "pd.DataFrame", formula: str, random: Sequence[str]) -> MixedModel:
    """Linear mixed model with crossed random intercepts, by statsmodels' MixedLM (REML).

    Args:
        table: one row an observation.
        formula: such as "score ~ rank * world", in patsy's language.
        random: columns whose levels are samples, such as ["clip", "run"].

    Raises:
        ValueError: a random column with fewer than 2 levels, missing values, or a fit that does not converge.
    """
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
    names = list(fit.fe_params.index)
    if not fit.converged or not np.isfinite(fit.bse_fe).all():
        raise ValueError(f"the mixed model {formula!r} did not converge; leave out a random effect")
    bounds = fit.conf_int().loc[names].to_numpy()
    effects = {
        name: (float(fit.fe_params[name]), float(low), float(high), float(fit.pvalues[name]))
        for name, (low, high) in zip(names, bounds, strict=True)
    }
    # statsmodels keeps the components sorted by name.
    found = zip(sorted(random), np.sqrt(np.maximum(fit.vcomp, 0)), strict=True)
    deviations = {name: float(value) for name, value in found} | {"residual": float(np.sqrt(fit.scale))}
    return MixedModel(effects, deviations, len(table))


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
