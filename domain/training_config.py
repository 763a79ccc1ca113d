"""How to train: the settings of one DPO training, and the bounds within which a training can work at all."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from domain.errors import Invalid

LOSSES = frozenset(
    {
        "sigmoid",
        "sigmoid_norm",
        "hinge",
        "ipo",
        "nca_pair",
        "bco_pair",
        "sppo_hard",
        "aot",
        "aot_unpaired",
        "apo_zero",
        "apo_down",
        "discopop",
        "sft",
    }
)
"""Those of TRL's losses for DPO that need no setting but `beta`."""

_MOST = {
    "steps": 100_000,
    "batch_size": 256,
    "gradient_accumulation": 256,
    "max_length": 8_192,
    "lora_rank": 256,
    "lora_alpha": 1_024,
    "max_pairs": 1_000_000,
}
_MOST_MODULES = 16
_MODULE = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train. DPO (Rafailov et al. 2023, arXiv:2305.18290) with LoRA (Hu et al. 2021, arXiv:2106.09685).

    `loss` names some of LOSSES: `sigmoid` is DPO itself, `sft` keeps the chosen answers likely. `target_modules` are
    names of layers. `max_length` in tokens; `max_pairs` takes the pairs that weigh most. `precision`: `bf16`, `fp32`,
    or `auto`, which is bf16 where the trainer's processor computes it, and fp32 where it would have to emulate it.
    """

    steps: int = 24
    batch_size: int = 4
    gradient_accumulation: int = 1
    learning_rate: float = 5e-4
    beta: float = 0.1
    max_length: int = 256
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    loss: tuple[str, ...] = ("sigmoid", "sft")
    loss_weights: tuple[float, ...] = (1.0, 1.0)
    precision: str = "auto"
    max_pairs: int = 64
    seed: int = 0

    def check(self) -> None:
        """Raises Invalid for a value that no training can use."""
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise Invalid(f"{name} must lie between 1 and {most}")
        for name in ("learning_rate", "beta"):
            if not 0 < getattr(self, name) < math.inf:
                raise Invalid(f"{name} must be a number above 0")
        if not 0 <= self.lora_dropout < 1:
            raise Invalid("lora_dropout must lie in [0, 1)")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise Invalid("precision is auto, bf16 or fp32")
        if not 0 <= self.seed < 2**31:
            raise Invalid("seed must lie in [0, 2**31)")
        self._check_losses()
        self._check_modules()

    def _check_losses(self) -> None:
        if not self.loss or not LOSSES.issuperset(self.loss) or len(set(self.loss)) < len(self.loss):
            raise Invalid(f"loss must name some of {', '.join(sorted(LOSSES))}, each once")
        if len(self.loss) != len(self.loss_weights) or not all(map(math.isfinite, self.loss_weights)):
            raise Invalid("loss_weights must hold one number for each loss")

    def _check_modules(self) -> None:
        if not 1 <= len(self.target_modules) <= _MOST_MODULES or not all(map(_MODULE.fullmatch, self.target_modules)):
            raise Invalid(f"target_modules must name 1 to {_MOST_MODULES} layers, e.g. q_proj")


def before_auto(config: dict[str, Any]) -> dict[str, Any]:
    """The stored configuration of an event's version 1, in which no precision meant bf16."""
    return {"precision": "bf16"} | config
