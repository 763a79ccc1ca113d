"""An adapter's passport: the exact data, base model, settings and versions that made it; and its model card."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, TypeAdapter

from domain.training import CODE, StartingPoint
from domain.training_config import TrainingConfig, before_their_names
from domain.training_health import HealthCode
from domain.weighting import WEIGHED_LOSS

PASSPORT_FILE = "passport.json"
MODEL_CARD_FILE = "README.md"


@dataclass(frozen=True, slots=True)
class Metrics:
    """What training measured. Losses and log-probabilities are means over one batch and over all pairs, in nats.

    `loss_before` is the first batch's, before any update; `loss_after` the last batch's. `reference_logp_*`: what the
    reference gives the chosen and the rejected answers; None: it was not precomputed. `seconds`: of the last process
    that worked on the run.
    """

    loss_before: float
    loss_after: float
    margin: float
    accuracy: float
    reference_logp_chosen: float | None
    reference_logp_rejected: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Passport:
    """`sha256` is of adapter_model.safetensors, `base_sha256` of the base model's weights. `pairs` were trained on, in
    `steps`; `stopped_by` is the warning that ended the training early, `weighting` how the pairs' weights acted, and
    `start_from` the adapter that it went on from; `caravan` is the version of Caravan. domain.training has more of
    them."""

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
    start_from: StartingPoint | None = None
    steps: int | None = None
    stopped_by: HealthCode | None = None
    weighting: str = WEIGHED_LOSS
    caravan: str = ""
    machine: str = ""
    device: str = ""

    @property
    def made_with(self) -> dict[str, str]:
        """The versions of Caravan and its libraries, the machine and the device, as far as they were noted."""
        said = {CODE: self.caravan, **self.libraries, "machine": self.machine, "device": self.device}
        return {name: value for name, value in said.items() if value}

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
| Loss | {metrics.loss_before:.4f} before, {metrics.loss_after:.4f} after {_steps(passport)} |
| Began as | {_start(passport)} |
| Pairs' weights | `{passport.weighting}` |
| Reward margin, accuracy | {metrics.margin:.3f}, {metrics.accuracy:.2f} on the last batch |
| Made with | {", ".join(f"{name} {version}" for name, version in passport.made_with.items())} |

Everything that is needed to make it again is in `{PASSPORT_FILE}`, and `caravan adapters reproduce {passport.adapter}`
does so. This is what was known when it was made. What has become of it since, its evaluations, promotions and runs, is
in Caravan: `caravan adapters show {passport.adapter}`, or `GET /v1/adapters/{passport.adapter}/passport`.

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


def _steps(passport: Passport) -> str:
    steps = f"{passport.steps or passport.config.max_steps} steps"
    return f"{steps}, stopped early by `{passport.stopped_by}`" if passport.stopped_by else steps


def _start(passport: Passport) -> str:
    start = passport.start_from
    if start is None:
        return f"a new adapter; reference: {passport.base_model}"
    return f"{start.adapter}, `sha256:{start.sha256}`; reference: {start.reference}"


def _as_now(document: Any) -> Any:
    """A passport of before weights acted in the loss has no word of it, and other names of options."""
    if not isinstance(document, dict) or "weighting" in document or not isinstance(document.get("config"), dict):
        return document
    return document | {"weighting": "sampling/1", "config": before_their_names(document["config"])}


_PASSPORT: TypeAdapter[Passport] = TypeAdapter(Annotated[Passport, BeforeValidator(_as_now)])
