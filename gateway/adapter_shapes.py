"""What reads of trainings, evaluations and adapters answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from domain.evaluation import Plan
from domain.evaluation_figures import Figures
from domain.job import ResultFile
from domain.lora_adapter import Passport
from domain.training import Original, StartingPoint
from domain.training_config import TrainingConfig
from domain.training_health import HealthCode
from gateway.dataset_shapes import DatasetEntry
from gateway.run_shapes import Run
from gateway.shapes import model_of
from projections import evaluations, lora_adapters, training_metrics, training_runs

TrainingEntry = model_of(
    "TrainingRun",
    training_runs.TABLE,
    {"config": TrainingConfig, "start_from": StartingPoint, "reproduces": Original},
)
TrainingStep = model_of("TrainingStep", training_metrics.TABLE)


class TrainingWarning(BaseModel):
    """What a training's numbers warn of."""

    code: HealthCode
    says: str = Field(description="What was seen")
    advice: str = Field(description="What to do about it")


AdapterEntry = model_of(
    "LoraAdapter",
    lora_adapters.TABLE,
    {"passport": Passport},
    in_use=(bool, Field(description="Whether it is the one that its alias means now")),
)
EvaluationEntry = model_of(
    "Evaluation",
    evaluations.TABLE,
    {"judges": list[str], "plan": Plan, "figures": Figures, "items_file": ResultFile},
)


class Reproduction(BaseModel):
    """A training that made an adapter again."""

    run_id: UUID
    state: str
    adapter: str | None
    sha256: str | None = Field(description="Of its weights; null: there are none (yet)")
    same: bool | None = Field(description="Whether the weights are the same, bit for bit")
    differs: list[str] = Field(description="What was not the same, where the weights are not")


class AdapterPassport(BaseModel):
    """All that is known of an adapter: what made it, what it is worth, and what became of it."""

    adapter: AdapterEntry  # type: ignore[valid-type]  # made at run time
    dataset: DatasetEntry | None  # type: ignore[valid-type]
    training: TrainingEntry | None  # type: ignore[valid-type]
    last_step: TrainingStep | None  # type: ignore[valid-type]
    health: list[TrainingWarning]
    evaluations: list[EvaluationEntry] = Field(description="The newest ones")  # type: ignore[valid-type]
    history: list[dict[str, Any]] = Field(description="Promotions, rollbacks and all else, as CloudEvents")
    runs: int = Field(description="In so many some agent ran on it; `GET /v1/workflows?adapter=` lists them")
    newest_runs: list[Run]  # type: ignore[valid-type]
    reproductions: list[Reproduction]
    position: int
