"""How a training does: what its numbers warn of, in plain words, and what to do about it.

Pure: from the steps so far to the warnings of now. The trainer asks it after each step, where a warning is to end the
training; readers ask it about a training of any age, and get the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median

from domain.training_progress import Progress

WINDOW = 8
"""Steps over which a number is averaged, so that no single batch raises a warning."""

FALL_NATS = 10.0
SATURATED_MARGIN = 4.6
"""Beyond it the loss of DPO is below 0.01."""
TRUNCATED_SHARE = 0.2
LONGER_BY = 0.2
FOLLOWS_LENGTH = 0.7
FAR_NATS = 0.2
EXPLODES_TIMES = 10.0
VANISHED_NORM = 1e-6
LOSS_FALLS_BY = 0.01


class HealthCode(StrEnum):
    """What a training can be warned of. Stable: `early_stop` names these."""

    CHOSEN_FALLS = "chosen_falls"
    SATURATED = "saturated"
    TRUNCATED = "truncated"
    LENGTH_BIAS = "length_bias"
    FAR_FROM_REFERENCE = "far_from_reference"
    GRADIENT_EXPLODES = "gradient_explodes"
    GRADIENT_VANISHES = "gradient_vanishes"
    LOSS_STAYS = "loss_stays"


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning of now. `says` is what was seen, `advice` what to do about it."""

    code: HealthCode
    says: str
    advice: str


Found = str | None
"""What was seen; None: nothing to be warned of."""


def warnings(steps: Sequence[Progress]) -> list[Warned]:
    """What the steps so far, in their order, warn of now."""
    return [
        Warned(code, says, advice)
        for code, (look, advice) in _RULES.items()
        if steps and (says := look(steps)) is not None
    ]


def _chosen_falls(steps: Sequence[Progress]) -> Found:
    shift, margin = _mean(steps, "chosen_shift"), _mean(steps, "margin")
    if shift is None or margin is None or len(steps) < WINDOW or shift > -FALL_NATS or margin <= 0:
        return None
    return (
        f"the chosen answers have become less likely, by {-shift:.1f} nats each, while the margin grows to {margin:.2f}"
    )


def _saturated(steps: Sequence[Progress]) -> Found:
    last = steps[-WINDOW:]
    if len(last) < WINDOW or any(step.accuracy < 1 or step.margin < SATURATED_MARGIN for step in last):
        return None
    return f"for {WINDOW} steps every pair has been told apart, by a margin of {last[-1].margin:.1f}: little is left"


def _truncated(steps: Sequence[Progress]) -> Found:
    share = _mean(steps, "truncated", len(steps))
    if share is None or share <= TRUNCATED_SHARE:
        return None
    return f"{share:.0%} of the pairs are cut at max_length, and judged by what is left of them"


def _length_bias(steps: Sequence[Progress]) -> Found:
    lead, length = _mean(steps, "length_lead", len(steps)), _mean(steps, "chosen_length", len(steps))
    follows = _mean(steps, "length_correlation")
    if len(steps) < WINDOW or lead is None or not length:
        return None
    if follows is not None and follows >= FOLLOWS_LENGTH:
        return f"the margin follows the length of the answers (r = {follows:.2f}): length is what is being learned"
    if abs(lead) < LONGER_BY * length:
        return None
    kind = "longer" if lead > 0 else "shorter"
    return f"the chosen answers are {abs(lead):.0f} tokens {kind} than the rejected, of {length:.0f}"


def _far(steps: Sequence[Progress]) -> Found:
    kl = _mean(steps, "kl")
    if kl is None or kl < FAR_NATS:
        return None
    return f"the adapter is far from its reference: an estimated KL of {kl:.2f} nats a token"


def _explodes(steps: Sequence[Progress]) -> Found:
    norms = [step.grad_norm for step in steps if step.grad_norm is not None]
    if len(norms) < WINDOW or norms[-1] <= EXPLODES_TIMES * (usual := median(norms)):
        return None
    return f"the gradient's norm is {norms[-1]:.3g}, usual is {usual:.3g}"


def _vanishes(steps: Sequence[Progress]) -> Found:
    last = [step.grad_norm for step in steps[-WINDOW:] if step.grad_norm is not None]
    if len(last) < WINDOW or max(last) > VANISHED_NORM:
        return None
    return f"the gradient has been nothing ({max(last):.1g}) for {WINDOW} steps"


def _loss_stays(steps: Sequence[Progress]) -> Found:
    if len(steps) < 2 * WINDOW:
        return None
    before, now = fmean(step.loss for step in steps[:WINDOW]), fmean(step.loss for step in steps[-WINDOW:])
    if now < before - LOSS_FALLS_BY * abs(before):
        return None
    return f"the loss does not fall: {before:.3f} over the first {WINDOW} steps, {now:.3f} over the last"


def _mean(steps: Sequence[Progress], name: str, window: int = WINDOW) -> float | None:
    values = [value for step in steps[-window:] if (value := getattr(step, name)) is not None]
    return fmean(values) if values else None


_RULES: dict[HealthCode, tuple[Callable[[Sequence[Progress]], Found], str]] = {
    HealthCode.CHOSEN_FALLS: (
        _chosen_falls,
        "Lower learning_rate, raise beta, or add sft to loss_type: it keeps the chosen answers likely.",
    ),
    HealthCode.SATURATED: (_saturated, "Stop here, or train on more pairs; more steps only wear the model out."),
    HealthCode.TRUNCATED: (_truncated, "Raise max_length, or leave out the long pairs."),
    HealthCode.LENGTH_BIAS: (
        _length_bias,
        "Use sigmoid_norm or ipo, which count a token's mean, or choose pairs of like lengths.",
    ),
    HealthCode.FAR_FROM_REFERENCE: (_far, "Lower learning_rate, raise beta, or make fewer steps."),
    HealthCode.GRADIENT_EXPLODES: (_explodes, "Lower learning_rate or max_grad_norm, or add warmup_steps."),
    HealthCode.GRADIENT_VANISHES: (_vanishes, "Look at the pairs' weights and at target_modules: nothing is trained."),
    HealthCode.LOSS_STAYS: (_loss_stays, "Raise learning_rate or r, or look whether the pairs contradict each other."),
}
