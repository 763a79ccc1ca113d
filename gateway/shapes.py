"""What reads answer: each model is made from the read model's own table, so that the two cannot drift apart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model
from sqlalchemy import Table

from domain.dataset import Filter
from domain.events import ActorKind
from domain.lora_adapter import Passport
from domain.model_call import Message, ToolCall
from domain.roster import AgentSpec
from domain.training_config import TrainingConfig
from domain.workflow import CastMember
from projections import (
    agent_rosters,
    ballots,
    datasets,
    dpo_annotations,
    interaction_log,
    lora_adapters,
    training_metrics,
    training_runs,
    workflow_runs,
)

Item = TypeVar("Item")


class PageOf(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next: str | None = Field(description="The `cursor` of the page after this one; null: there is none")
    position: int = Field(description="The list knows everything up to this position of the log")


def page_of(item: type[BaseModel]) -> type[BaseModel]:
    """The model of a page of such items, for a model that is made at run time."""
    return PageOf[item]  # type: ignore[valid-type]


STALE = Field(description="An event about this could not be taken in, and what it says may be missing here")


def model_of(name: str, table: Table, json: Mapping[str, Any] = {}, **more: tuple[Any, Any]) -> type[BaseModel]:
    """The model of a table's rows. `json` says what its jsonb columns hold; `more` are fields beside the columns."""
    fields: dict[str, Any] = {**more, "stale": (bool, STALE)}
    for column in table.columns:
        kind = json.get(column.name, column.type.python_type)
        fields[column.name] = (kind | None if column.nullable else kind, ...)
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


Run = model_of("WorkflowRun", workflow_runs.TABLE, {"agents": list[str], "cast": list[CastMember]})
LogEntry = model_of("LogEntry", interaction_log.TABLE, {"messages": list[Message], "tool_calls": list[ToolCall]})
BallotEntry = model_of("Ballot", ballots.TABLE, {"steps": list[str]})
_PREFERENCE = {"prompt": list[Message], "chosen": list[Message], "rejected": list[Message], "ballots": list[str]}
PreferencePair = model_of("Preference", dpo_annotations.TABLE, _PREFERENCE)
PreferenceHistory = model_of(
    "PreferenceWithHistory",
    dpo_annotations.TABLE,
    _PREFERENCE,
    history=(list[dict[str, Any]], Field(description="Every opinion there ever was: its events, as CloudEvents")),
)
DatasetEntry = model_of("Dataset", datasets.TABLE, {"filter": Filter})
TrainingEntry = model_of("TrainingRun", training_runs.TABLE, {"config": TrainingConfig})
TrainingStep = model_of("TrainingStep", training_metrics.TABLE)
AdapterEntry = model_of(
    "LoraAdapter",
    lora_adapters.TABLE,
    {"passport": Passport},
    in_use=(bool, Field(description="Whether it is the one that its alias means now")),
)


class AgentChange(BaseModel):
    """A revision of agents.yaml that changed an agent; `before` or `after` is null where it was not in it."""

    revision: int
    author: str
    author_kind: ActorKind
    reason: str
    recorded_at: datetime
    position: int
    changed: list[str] = Field(description="The fields that differ", examples=[["system_message", "model"]])
    prompt_diff: str = Field(description="What became of the system message, as a unified diff; empty where nothing")
    before: AgentSpec | None
    after: AgentSpec | None


RosterRevision = model_of("RosterRevision", agent_rosters.TABLE, {"agents": list[AgentSpec]})
