from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.model_server.jobs import Sampling
from adapters.model_server.sampling import Sampler, nucleus

LOGITS = st.lists(st.floats(-20, 20), min_size=1, max_size=600).map(np.array)


def test_temperature_zero_takes_the_likeliest():
    assert Sampler(Sampling(0, 1.0, seed=1)).choose(np.array([0.1, 3.0, 2.9], np.float32)) == 1


def test_tokens_come_as_often_as_their_probability_says():
    sampler = Sampler(Sampling(1.0, 1.0, seed=5))
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))

    counts = Counter(sampler.choose(logits) for _ in range(4_000))

    assert [counts[token] / 4_000 for token in range(3)] == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_the_same_seed_chooses_the_same_tokens_though_the_last_digits_differ():
    logits = np.random.default_rng(0).normal(size=49_152).astype(np.float32)
    one, other = Sampler(Sampling(1.0, 0.9, seed=7)), Sampler(Sampling(1.0, 0.9, seed=7))

    first = [one.choose(logits) for _ in range(20)]

    assert first == [other.choose(logits + np.float32(1e-6)) for _ in range(20)]
    assert len(set(first)) > 1


def test_the_smallest_temperature_is_no_division_by_zero():
    assert Sampler(Sampling(5e-324, 1.0, seed=1)).choose(np.array([1.0, 2.0, -np.inf], np.float32)) == 1


@given(LOGITS, st.floats(0.01, 0.99))
def test_the_nucleus_is_the_fewest_likeliest_tokens_that_hold_top_p(logits, top_p):
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()

    kept = np.flatnonzero(np.isfinite(nucleus(logits, top_p)))
    left_out = np.setdiff1d(np.arange(len(logits)), kept)

    held = probabilities[kept].sum()
    assert held >= top_p - 1e-9
    assert held - probabilities[kept].min() < top_p + 1e-9
    assert not len(left_out) or probabilities[left_out].max() <= probabilities[kept].min()
