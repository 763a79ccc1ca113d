"""An adapter's passport: the exact data, base model, settings and versions that made it; and its model card."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter

from domain.training_config import TrainingConfig

PASSPORT_FILE = "passport.json"
MODEL_CARD_FILE = "README.md"


@dataclass(frozen=True, slots=True)
class Metrics:
    """What training measured. Losses and log-probabilities are means over one batch and over all pairs, in nats.

    `loss_before` is the first batch's, before any update; `loss_after` the last batch's. `reference_logp_*`: what the
    base model gives the chosen and the rejected answers. `seconds`: of the last process that worked on the run.
    """

    loss_before: float
    loss_after: float
    margin: float
    accuracy: float
    reference_logp_chosen: float
    reference_logp_rejected: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Passport:
    """`sha256` is of adapter_model.safetensors, `base_sha256` of the base model's weights. `pairs` were trained on."""

    adapter: str
    sha256: str
    training_run: UUID
    base_model: str
    base_sha256: str
    dataset_id: UUID
    dataset_sha256: str
    position: int
    pairs: int
    config: TrainingConfig
    libraries: dict[str, str]
    metrics: Metrics

    def write(self, folder: Path) -> None:
        """Leaves passport.json and the model card in the adapter's folder."""
        document = _PASSPORT.dump_json(self, indent=2) + b"\n"
        (folder / PASSPORT_FILE).write_bytes(document)
        (folder / MODEL_CARD_FILE).write_text(model_card(self), encoding="utf-8")


def read_passport(folder: Path) -> Passport:
    """Raises FileNotFoundError where there is no adapter, pydantic's ValidationError where it is no passport."""
    return _PASSPORT.validate_json((folder / PASSPORT_FILE).read_bytes())


def model_card(passport: Passport) -> str:
    """README.md as the Hugging Face Hub reads it: YAML front matter, then Markdown."""
    metrics, config = passport.metrics, passport.config
    return f"""\
---
base_model: {json.dumps(passport.base_model)}
library_name: peft
pipeline_tag: text-generation
tags: [dpo, lora, trl]
---

# {passport.adapter}

A LoRA adapter for **{passport.base_model}**, trained with direct preference optimisation on {passport.pairs} pairs of
answers that a team of agents ranked and people could correct.

| | |
|---|---|
| Base model | {passport.base_model}, weights `sha256:{passport.base_sha256}` |
| Data | dataset `{passport.dataset_id}`, `sha256:{passport.dataset_sha256}`, as of position {passport.position} |
| Training run | `{passport.training_run}` |
| Loss | {metrics.loss_before:.4f} before, {metrics.loss_after:.4f} after {config.steps} steps |
| Reward margin, accuracy | {metrics.margin:.3f}, {metrics.accuracy:.2f} on the last batch |
| Made with | {", ".join(f"{name} {version}" for name, version in passport.libraries.items())} |

Everything that is needed to make it again is in `{PASSPORT_FILE}`.

## Use

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("path/to/{passport.base_model}")
model = PeftModel.from_pretrained(base, "path/to/{passport.adapter}")
```

## Settings

```json
{json.dumps(asdict(config), indent=2)}
```

<details><summary>Metrics</summary>

```json
{json.dumps(asdict(metrics), indent=2)}
```

</details>
"""


_PASSPORT = TypeAdapter(Passport)
