"""A workforce: one agent plans a task and assigns its sub-tasks, the others work them off, one after another.

What it tells of its work, and the rules that stand in where a model's plan or assignment cannot be followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST_SUBTASKS = 12
"""Of one plan. What a plan names beyond them is left out: a model that repeats itself would plan for ever."""
MOST_ATTEMPTS = 2
"""At one sub-task. The others go on without one that failed as often."""


class Told(StrEnum):
    """What a report is about. All but the last are CAMEL's own words for it."""

    WORKER_CREATED = "worker_created"
    WORKER_DELETED = "worker_deleted"
    TASK_CREATED = "task_created"
    TASK_DECOMPOSED = "task_decomposed"
    TASK_ASSIGNED = "task_assigned"
    TASK_STARTED = "task_started"
    TASK_UPDATED = "task_updated"
    TASK_COMPLETED = "task_completed"
    TASK_FAILED = "task_failed"
    ALL_TASKS_COMPLETED = "all_tasks_completed"
    RULE_APPLIED = "rule_applied"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a task or a worker. `task` is its number, e.g. `0.2` for the second sub-task of the whole task,
    which is `0`; `worker` is an agent's name, `text` the beginning of what was asked, answered or gave rise to a rule.
    `tasks` are those that a task was split into, or whose results it is told. Empty: does not apply."""

    what: Told
    task: str = ""
    worker: str = ""
    text: str = ""
    tasks: tuple[str, ...] = ()


def shares(task: str, workers: int) -> list[str]:
    """The sub-tasks where the plan names none: each worker does the whole task, and reads what came before."""
    return [task] * min(workers, MOST_SUBTASKS)


def stand_in(subtask: int, workers: Sequence[str]) -> str:
    """Who does the nth sub-task (from 0) where the coordinator named nobody who is there: the workers, in turn."""
    return workers[subtask % len(workers)]
