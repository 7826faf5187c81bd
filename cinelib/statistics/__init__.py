"""Comparisons that a sceptic accepts; on simulated data intervals cover and nulls are rejected at 5 %.

scipy and statsmodels do what they have; what is here they lack, or get wrong below ten values.
"""

from cinelib.statistics.clusters import MixedModel, mixed_model, two_way_bootstrap
from cinelib.statistics.hypothesis_tests import Trend, jonckheere, permutation_test
from cinelib.statistics.intervals import FEWEST, mean_interval, why_no_interval
from cinelib.statistics.paired import Comparison, compare, corrected, holm, sign_flip_test, smallest_p
from cinelib.statistics.planning import detectable_difference, paired_power, pairs_needed
from cinelib.statistics.verdict import (
    Answer,
    Finding,
    Part,
    all_of,
    any_of,
    ask,
    fact,
    not_measured,
    verdict,
)

__all__ = [
    "FEWEST",
    "Answer",
    "Comparison",
    "Finding",
    "MixedModel",
    "Part",
    "Trend",
    "all_of",
    "any_of",
    "ask",
    "compare",
    "corrected",
    "detectable_difference",
    "fact",
    "holm",
    "jonckheere",
    "mean_interval",
    "mixed_model",
    "not_measured",
    "paired_power",
    "pairs_needed",
    "permutation_test",
    "sign_flip_test",
    "smallest_p",
    "two_way_bootstrap",
    "verdict",
    "why_no_interval",
]
