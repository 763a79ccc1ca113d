"""What a training says of itself after each step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is, and what its last step measured on its own batch, before the update; None: not measured.

    `margin`, `accuracy`, `rewards_*` and `logps_*` are TRL's rewards/margins, rewards/accuracies, rewards/chosen and so
    on: means over the batch. A reward is beta times how much more likely the answer is than under the reference, in
    nats; `logps_*` are of whole answers, in nats. `chosen_shift` is the chosen answers' reward without beta. `kl`
    estimates how far the adapter is from the reference, in nats a token: of each answer's mean log-ratio a token it
    takes k3 (Schulman 2020, "Approximating KL divergence"), on the dataset's answers and not on the model's own.
    `entropy` in nats a token. `grad_norm` is that before clipping. `truncated` is the share of pairs that `max_length`
    cut, `chosen_length` the chosen answers' length in tokens, `length_lead` how much longer they are than the rejected,
    and `length_correlation` Pearson's r of that with the margin, over all pairs of the step, however many batches they
    came in; None for fewer than 3 pairs, or where all are alike.
    """

    step: int
    total_steps: int
    loss: float
    margin: float
    accuracy: float
    seconds_left: float
    samples_per_second: float
    rewards_chosen: float | None = None
    rewards_rejected: float | None = None
    logps_chosen: float | None = None
    logps_rejected: float | None = None
    chosen_shift: float | None = None
    kl: float | None = None
    entropy: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    truncated: float | None = None
    chosen_length: float | None = None
    length_lead: float | None = None
    length_correlation: float | None = None
