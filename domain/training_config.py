"""How to train: the options of one DPO training, and the bounds within which a training can work at all."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from domain.errors import Invalid
from domain.lora_weights import LoraForm
from domain.training_health import HealthCode

LOSSES = frozenset(
    {
        "sigmoid",
        "sigmoid_norm",
        "hinge",
        "ipo",
        "exo_pair",
        "nca_pair",
        "robust",
        "bco_pair",
        "sppo_hard",
        "apo_zero",
        "apo_down",
        "discopop",
        "sft",
    }
)
"""Those of TRL's losses for DPO that a pair has by itself, so that it can be weighed. The two kinds of `aot` sort all
pairs of a batch against each other."""

SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")
BY_EPOCHS = -1
"""As `max_steps`: `num_train_epochs` says how long, as in transformers."""

_MOST = {
    "per_device_train_batch_size": 256,
    "gradient_accumulation_steps": 256,
    "max_length": 8_192,
    "r": 256,
    "lora_alpha": 1_024,
    "max_pairs": 1_000_000,
    "num_processes": 64,
}
_MOST_STEPS = 100_000
_MOST_EPOCHS = 1_000
_MOST_MODULES = 16
_MODULE = re.compile(r"[A-Za-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train. DPO (Rafailov et al. 2023, arXiv:2305.18290) with LoRA (Hu et al. 2021, arXiv:2106.09685).

    The options of TRL's DPOConfig and PEFT's LoraConfig have the names that they have there, and the same meaning.
    `loss_type` names some of LOSSES: `sigmoid` is DPO itself, `sft` keeps the chosen answers likely. `max_length` in
    tokens.

    The last four are Caravan's: `max_pairs` takes the pairs that weigh most, of equal ones by lot. `precision`: `bf16`,
    `fp32`, or `auto`, which is bf16 where the trainer's processor computes it, and fp32 where it would have to emulate
    it. `num_processes` train together, each on batches of its own. `early_stop` names the warnings of
    domain.training_health that end it.
    """

    max_steps: int = 24
    num_train_epochs: float = 1.0
    per_device_train_batch_size: int = 4
    gradient_accumulation_steps: int = 1
    learning_rate: float = 5e-4
    lr_scheduler_type: str = "constant"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    beta: float = 0.1
    loss_type: tuple[str, ...] = ("sigmoid", "sft")
    loss_weights: tuple[float, ...] = (1.0, 1.0)
    label_smoothing: float = 0.0
    max_length: int = 256
    precompute_ref_log_probs: bool = True
    gradient_checkpointing: bool = False
    seed: int = 0
    r: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    use_rslora: bool = False
    max_pairs: int = 64
    precision: str = "auto"
    num_processes: int = 1
    early_stop: tuple[HealthCode, ...] = ()

    @property
    def form(self) -> LoraForm:
        """How the adapter's weights act."""
        return LoraForm(self.r, self.lora_alpha, frozenset(self.target_modules), self.use_rslora)

    @property
    def known_steps(self) -> int:
        """0 where the number of pairs decides how many there are."""
        return max(0, self.max_steps)

    def check(self) -> None:
        """Raises Invalid for a value that no training can use."""
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise Invalid(f"{name} must lie between 1 and {most}")
        for name in ("learning_rate", "beta", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise Invalid(f"{name} must be a number above 0")
        for name in ("lora_dropout", "weight_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise Invalid(f"{name} must lie in [0, 1)")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise Invalid("precision is auto, bf16 or fp32")
        if not 0 <= self.seed < 2**31:
            raise Invalid("seed must lie in [0, 2**31)")
        self._check_length()
        self._check_losses()
        self._check_modules()

    def _check_length(self) -> None:
        if self.max_steps != BY_EPOCHS and not 1 <= self.max_steps <= _MOST_STEPS:
            raise Invalid(f"max_steps must lie between 1 and {_MOST_STEPS}, or be -1: num_train_epochs decides")
        if not 0 < self.num_train_epochs <= _MOST_EPOCHS:
            raise Invalid(f"num_train_epochs must be above 0, and {_MOST_EPOCHS} at most")
        if self.lr_scheduler_type not in SCHEDULES:
            raise Invalid(f"lr_scheduler_type must be one of {', '.join(SCHEDULES)}")
        if not 0 <= self.warmup_steps <= _MOST_STEPS:
            raise Invalid(f"warmup_steps must lie between 0 and {_MOST_STEPS}")
        if self.warmup_steps and self.lr_scheduler_type == "constant":
            raise Invalid("warmup_steps needs another lr_scheduler_type, e.g. constant_with_warmup")

    def _check_losses(self) -> None:
        if (
            not self.loss_type
            or not LOSSES.issuperset(self.loss_type)
            or len(set(self.loss_type)) < len(self.loss_type)
        ):
            raise Invalid(f"loss_type must name some of {', '.join(sorted(LOSSES))}, each once")
        if len(self.loss_type) != len(self.loss_weights) or not all(map(math.isfinite, self.loss_weights)):
            raise Invalid("loss_weights must hold one number for each loss_type")
        if not 0 <= self.label_smoothing < 0.5:
            raise Invalid("label_smoothing, the share of pairs that are the wrong way round, must lie in [0, 0.5)")
        if self.label_smoothing and not {"robust", "exo_pair"} & set(self.loss_type):
            raise Invalid("label_smoothing has no effect on these losses; add robust to loss_type, or leave it at 0")
        if "exo_pair" in self.loss_type and not self.label_smoothing:
            raise Invalid("label_smoothing must be above 0 for exo_pair, e.g. 0.001")

    def _check_modules(self) -> None:
        if not 1 <= len(self.target_modules) <= _MOST_MODULES or not all(map(_MODULE.fullmatch, self.target_modules)):
            raise Invalid(f"target_modules must name 1 to {_MOST_MODULES} layers, e.g. q_proj")


RENAMED = {
    "steps": "max_steps",
    "batch_size": "per_device_train_batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "lora_rank": "r",
    "loss": "loss_type",
}
"""What options were called before they took the names that TRL and PEFT give them."""


def before_auto(config: dict[str, Any]) -> dict[str, Any]:
    """The stored configuration of an event's version 1, in which no precision meant bf16."""
    return {"precision": "bf16"} | config


def before_their_names(config: dict[str, Any]) -> dict[str, Any]:
    """The stored configuration of an event's version 2, whose options had names of our own. What it lacks was as the
    defaults are."""
    return {RENAMED.get(name, name): value for name, value in config.items()}


def form_of(config: Mapping[str, Any]) -> LoraForm:
    """How the weights act that came of a configuration as it is stored, whichever release wrote it down."""
    options = before_their_names(dict(config))
    return TrainingConfig(**{name: options[name] for name in _FORM if name in options}).form


_FORM = tuple(option.name for option in fields(LoraForm))
