"""Comparisons that a sceptic accepts; on simulated data intervals cover and nulls are rejected at 5 %.

scipy and statsmodels do what they have; what is here they lack, or get wrong below ten values.
"""

from cinelib.statistics.clusters import MixedModel, mixed_model, two_way_bootstrap
from cinelib.statistics.hypothesis_tests import Equivalence, Trend, equivalence, jonckheere, permutation_test
from cinelib.statistics.intervals import NO_INTERVAL, mean_interval
from cinelib.statistics.paired import (
    Comparison,
    compare,
    corrected,
    holm,
    sign_flip_test,
    smallest_p,
    verdict,
)
from cinelib.statistics.planning import detectable_difference, paired_power, pairs_needed

__all__ = [
    "NO_INTERVAL",
    "Comparison",
    "Equivalence",
    "MixedModel",
    "Trend",
    "compare",
    "corrected",
    "detectable_difference",
    "equivalence",
    "holm",
    "jonckheere",
    "mean_interval",
    "mixed_model",
    "paired_power",
    "pairs_needed",
    "permutation_test",
    "sign_flip_test",
    "smallest_p",
    "two_way_bootstrap",
    "verdict",
]
