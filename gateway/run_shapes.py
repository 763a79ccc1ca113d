"""What reads of runs and batches answer."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field, create_model

from domain.limits import Limits
from domain.model_call import Message, ToolCall
from domain.steps import CastMember
from gateway.shapes import model_of
from projections import ballots, batches, interaction_log, run_diff, workflow_runs

_RUN = {"agents": list[str], "cast": list[CastMember], "limits": Limits, "shared": list[UUID]}
Run = model_of("WorkflowRun", workflow_runs.TABLE, _RUN)
LogEntry = model_of("LogEntry", interaction_log.TABLE, {"messages": list[Message], "tool_calls": list[ToolCall]})
_SAID = {name: LogEntry.model_fields[name].annotation for name in (*run_diff.SAID, "position")}
Said = create_model("Said", **{name: (kind, ...) for name, kind in _SAID.items()})  # type: ignore[call-overload]
Difference = create_model(
    "Difference", phase=(str, ...), n=(int, ...), mine=(Said | None, ...), theirs=(Said | None, ...)
)
RunDiff = create_model(
    "RunDiff",
    run=(UUID, ...),
    against=(UUID, ...),
    shared=(int, Field(description="Steps that both runs have")),
    items=(
        list[Difference],  # type: ignore[valid-type]  # it is made at run time
        Field(description="What is besides, in the order in which it was recorded"),
    ),
    position=(int, ...),
)
BatchEntry = model_of(
    "Batch",
    batches.TABLE,
    {"agents": list[str], "limits": Limits},
    waiting=(int, Field(description="Tasks whose run no worker has, or was not asked for yet")),
    **{state: (int, Field(description=f"Runs that are {state.replace('_', ' ')}")) for state in batches.COUNTED},
    **{total: (int, Field(description="Of all its runs")) for total in batches.SUMMED},
    started_at=(datetime | None, Field(description="When the first of its runs was started")),
)
BallotEntry = model_of("Ballot", ballots.TABLE, {"steps": list[str]})
