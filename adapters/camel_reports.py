"""What CAMEL's Workforce calls back, as the domain's reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from camel.societies.workforce import events
from camel.societies.workforce.workforce_callback import WorkforceCallback
from camel.societies.workforce.workforce_metrics import WorkforceMetrics

from domain.text import excerpt
from domain.workforce import Report, Told

LONGEST_TEXT = 1000
"""Characters of a report's text. Tasks and answers are in the steps, whole."""


class Reports(WorkforceCallback, WorkforceMetrics):
    """Tells each event once, in order. `names` are the agents' by their workers' ids.

    It says that it measures, as CAMEL would else have a logger of its own print what models say; it measures nothing.
    """

    def __init__(self, names: Mapping[str, str], tell: Callable[[Report], None]) -> None:
        self._names = names
        self._tell = tell

    def tell(self, report: Report) -> None:
        """One that is not CAMEL's."""
        self._tell(report)

    def name(self, worker: str | None) -> str:
        """The agent's; empty for nobody."""
        return self._names.get(worker or "", "")

    def log_message(self, event: events.LogEvent) -> None:
        """Says in other words what another event says."""

    def log_worker_created(self, event: events.WorkerCreatedEvent) -> None:
        self._say(Told.WORKER_CREATED, worker=event.worker_id, text=event.role)

    def log_worker_deleted(self, event: events.WorkerDeletedEvent) -> None:
        self._say(Told.WORKER_DELETED, worker=event.worker_id, text=event.reason)

    def log_task_created(self, event: events.TaskCreatedEvent) -> None:
        self._say(Told.TASK_CREATED, event.task_id, text=event.description)

    def log_task_decomposed(self, event: events.TaskDecomposedEvent) -> None:
        self._say(Told.TASK_DECOMPOSED, event.parent_task_id, tasks=event.subtask_ids)

    def log_task_assigned(self, event: events.TaskAssignedEvent) -> None:
        self._say(Told.TASK_ASSIGNED, event.task_id, event.worker_id, tasks=event.dependencies)

    def log_task_started(self, event: events.TaskStartedEvent) -> None:
        self._say(Told.TASK_STARTED, event.task_id, event.worker_id)

    def log_task_updated(self, event: events.TaskUpdatedEvent) -> None:
        self._say(Told.TASK_UPDATED, event.task_id, event.worker_id, event.new_value)

    def log_task_completed(self, event: events.TaskCompletedEvent) -> None:
        self._say(Told.TASK_COMPLETED, event.task_id, event.worker_id, event.result_summary)

    def log_task_failed(self, event: events.TaskFailedEvent) -> None:
        self._say(Told.TASK_FAILED, event.task_id, event.worker_id, event.error_message)

    def log_all_tasks_completed(self, event: events.AllTasksCompletedEvent) -> None:
        self._say(Told.ALL_TASKS_COMPLETED)

    def reset_task_data(self) -> None:
        """There is none."""

    def dump_to_json(self, file_path: str) -> None:
        """There is nothing to dump."""

    def get_ascii_tree_representation(self) -> str:
        return ""

    def get_kpis(self) -> dict[str, Any]:
        return {}

    def _say(
        self,
        what: Told,
        task: str = "",
        worker: str | None = None,
        text: str | None = None,
        tasks: list[str] | None = None,
    ) -> None:
        beginning = excerpt((text or "")[:LONGEST_TEXT])
        self._tell(Report(what, task, self.name(worker), beginning, tuple(tasks or ())))
