"""What a training's numbers warn of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.training_health import WINDOW, HealthCode, warnings
from domain.training_progress import Progress

SOUND = Progress(
    step=1,
    total_steps=100,
    loss=0.69,
    margin=0.2,
    accuracy=0.75,
    seconds_left=1.0,
    samples_per_second=1.0,
    chosen_shift=0.5,
    kl=0.01,
    grad_norm=1.0,
    truncated=0.0,
    chosen_length=50.0,
    length_lead=3.0,
    length_correlation=0.1,
)


def steps(count: int = 2 * WINDOW, **measures: float) -> list[Progress]:
    """So many steps that are well, but for these measures; the loss falls."""
    return [replace(SOUND, **{"step": n, "loss": 0.69 - 0.02 * n} | measures) for n in range(1, count + 1)]


def codes(steps: Sequence[Progress]) -> list[str]:
    return [warning.code.value for warning in warnings(steps)]


def test_a_training_that_is_well_is_warned_of_nothing() -> None:
    assert codes([]) == codes(steps(1)) == codes(steps()) == []


@pytest.mark.parametrize(
    ("measures", "code", "said"),
    [
        ({"chosen_shift": -12.0}, "chosen_falls", "less likely, by 12.0 nats each, while the margin grows to 0.20"),
        ({"accuracy": 1.0, "margin": 5.0}, "saturated", "for 8 steps every pair has been told apart"),
        ({"truncated": 0.25}, "truncated", "25% of the pairs are cut at max_length"),
        ({"length_lead": -20.0}, "length_bias", "20 tokens shorter than the rejected"),
        ({"length_correlation": 0.9}, "length_bias", "r = 0.90"),
        ({"kl": 0.5}, "far_from_reference", "KL of 0.50 nats a token"),
        ({"grad_norm": 0.0}, "gradient_vanishes", "nothing (0) for 8 steps"),
        ({"loss": 0.7}, "loss_stays", "0.700 over the first 8 steps, 0.700 over the last"),
    ],
)
def test_each_warning_says_what_was_seen_and_what_to_do(measures: dict[str, Any], code: str, said: str) -> None:
    [warning] = warnings(steps(**measures))
    assert warning.code == code
    assert said in warning.says
    assert warning.advice.endswith(".")


def test_a_gradient_explodes_when_it_is_far_above_the_usual() -> None:
    usual = steps()
    assert codes([*usual, replace(usual[-1], grad_norm=9.0)]) == []
    [warning] = warnings([*usual, replace(usual[-1], grad_norm=11.0)])
    assert (warning.code, warning.says) == ("gradient_explodes", "the gradient's norm is 11, usual is 1")


def test_chosen_answers_that_fall_together_with_the_margin_are_another_matter() -> None:
    assert codes(steps(chosen_shift=-12.0, margin=-0.1)) == []


def test_one_bad_batch_raises_no_warning() -> None:
    good = steps()
    bad = replace(good[-1], chosen_shift=-50.0, kl=1.0, accuracy=1.0, margin=9.0, length_correlation=1.0)
    assert codes([*good, bad]) == []


def test_steps_of_before_it_was_measured_warn_of_nothing_that_nobody_knows() -> None:
    unmeasured = {field.name: None for field in fields(Progress) if field.default is None}
    assert codes([replace(step, **unmeasured) for step in steps()]) == []


numbers = st.floats(-1e6, 1e6)
anything = st.builds(
    Progress,
    step=st.integers(1, 99),
    total_steps=st.just(99),
    **{field.name: numbers for field in fields(Progress) if field.type == "float"},
    **{field.name: st.none() | numbers for field in fields(Progress) if field.default is None},
)


@given(st.lists(anything, max_size=40))
def test_whatever_was_measured_there_are_words_for_it_and_each_warning_comes_once(steps: list[Progress]) -> None:
    found = warnings(steps)
    assert found == warnings(steps)
    assert len({warning.code for warning in found}) == len(found)
    assert {warning.code for warning in found} <= set(HealthCode)
