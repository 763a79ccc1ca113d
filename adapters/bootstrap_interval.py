"""Intervals by the bootstrap (Efron and Tibshirani 1993), with scipy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap

from domain.evaluation_figures import CONFIDENCE, Resample

RESAMPLES = 9_999
AT_ONCE = 500
"""Resamples in memory at a time."""


def resampling(seed: int) -> Resample:
    """The interval of the mean by BCa (Efron 1987), which mends the bias and skew of plain percentiles; by percentiles
    where the values are so few, or so alike, that it is not defined. The same values and seed give the same."""

    def interval(values: Sequence[float]) -> tuple[float, float]:
        low, high = _interval(values, "BCa")
        return (low, high) if math.isfinite(low + high) else _interval(values, "percentile")

    def _interval(values: Sequence[float], method: str) -> tuple[float, float]:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", DegenerateDataWarning)
            found = bootstrap(
                (np.asarray(values),),
                np.mean,
                n_resamples=RESAMPLES,
                batch=AT_ONCE,
                confidence_level=CONFIDENCE,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        return float(found.low), float(found.high)

    return interval
