"""Choosing one row's next token, independently of the rows that share its batch.

In numpy, in one thread: vectors of this size gain nothing from torch's threads, and wait for them when cores are busy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adapters.model_server.constrained import Logits
from adapters.model_server.jobs import Sampling

NUCLEUS_GUESS = 256


class Sampler:
    """Chooses tokens from logits of shape [vocabulary].

    The random generator belongs to the row: the same seed gives the same answer whatever else is running.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def choose(self, logits: Logits) -> int:
        """The next token's id."""
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        # Shifted first: a tiny temperature may then make -inf of the others, but nothing that is no number.
        with np.errstate(over="ignore"):
            scaled = (logits - logits.max()) / np.float64(self._sampling.temperature)
        if self._sampling.top_p < 1:
            scaled = nucleus(scaled, self._sampling.top_p)
        # Gumbel's trick samples from the softmax. Unlike a walk along cumulated probabilities it gives the same
        # token when the logits differ in their last digits, as they do from one batch to another.
        return int((scaled - np.log(self._random.standard_exponential(len(scaled)))).argmax())


def nucleus(logits: NDArray[np.float64], top_p: float) -> NDArray[np.float64]:
    """Keep the fewest likeliest tokens that hold `top_p` of the probability; -inf for the others."""
    weights = np.exp(logits - logits.max())
    wanted = top_p * weights.sum()
    # Sorting a whole vocabulary costs milliseconds; the few likeliest are nearly always enough.
    likeliest = np.argpartition(weights, -NUCLEUS_GUESS)[-NUCLEUS_GUESS:] if len(weights) > NUCLEUS_GUESS else None
    if likeliest is None or weights[likeliest].sum() < wanted:
        likeliest = np.arange(len(weights))
    descending = likeliest[np.argsort(-weights[likeliest], kind="stable")]
    before = np.cumsum(weights[descending]) - weights[descending]
    kept = descending[before < wanted]
    result = np.full_like(logits, -np.inf)
    result[kept] = logits[kept]
    return result
