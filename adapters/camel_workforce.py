"""CAMEL's Workforce, tamed: it works one sub-task off after another, and what it reads is the same whenever it is
played again."""

from __future__ import annotations

from collections.abc import KeysView, Sequence
from itertools import pairwise
from typing import Any, cast

from camel.agents import ChatAgent
from camel.societies.workforce import SingleAgentWorker, Workforce
from camel.societies.workforce.prompts import PROCESS_TASK_PROMPT
from camel.societies.workforce.structured_output_handler import StructuredOutputHandler
from camel.societies.workforce.task_channel import TaskChannel
from camel.societies.workforce.utils import FailureHandlingConfig, TaskAssignment, TaskAssignResult, TaskResult
from camel.tasks import Task
from camel.tasks.task import TaskState, is_task_result_insufficient

from adapters.camel_reports import Reports
from adapters.camel_step_model import SILENCE, StepModel
from adapters.elsewhere import Elsewhere
from domain.ports.agents import Ask, Tell
from domain.roster import AgentSpec
from domain.text import escape
from domain.workforce import MOST_ATTEMPTS, MOST_SUBTASKS, Report, Told, shares, stand_in

NO_LIMIT = 10**9
"""Of tokens: the endpoint itself refuses what is too long. Of seconds: a run has limits of its own."""

UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
"""What CAMEL raises where it makes nothing of an answer: a model may say anything."""


class CamelWorkforce:
    """The Society port."""

    async def work_out(self, task: str, team: Sequence[AgentSpec], ask: Ask, tell: Tell) -> None:
        """Raises what `ask` and `tell` raise."""
        elsewhere = Elsewhere()
        await elsewhere.run(lambda: _TamedWorkforce(team, ask, tell, elsewhere).work_out(task))


class _TamedWorkforce(Workforce):
    """Plans as CAMEL does, then goes through the plan as a pipeline in which each sub-task waits for the one before.

    Nothing that CAMEL makes up shows in a prompt: workers and tasks are known by their numbers. Nobody is hired, and
    results are not reviewed by the model that planned them.
    """

    def __init__(self, team: Sequence[AgentSpec], ask: Ask, tell: Tell, elsewhere: Elsewhere) -> None:
        coordinator, *workers = team
        self._names = {f"worker-{n}": spec.name for n, spec in enumerate(workers, 1)}
        self._reports = Reports(self._names, lambda report: elsewhere.wait(lambda: tell(report)))

        def chat(spec: AgentSpec, phase: str, id: str) -> ChatAgent:
            return _chat_agent(spec, id, StepModel(spec, phase, ask, elsewhere))

        desks = zip(self._names, workers, strict=True)
        super().__init__(
            "a workforce",
            children=[_Worker(spec.role, chat(spec, "work", id), self._reports) for id, spec in desks],
            coordinator_agent=chat(coordinator, "assign", "coordinator"),
            task_agent=chat(coordinator, "plan", "planner"),
            new_worker_agent=chat(coordinator, "hire", "nobody"),
            graceful_shutdown_timeout=0,
            task_timeout_seconds=NO_LIMIT,
            callbacks=[self._reports],
            failure_handling_config=FailureHandlingConfig(max_retries=MOST_ATTEMPTS, enabled_strategies=[]),
        )
        for agent in (self.coordinator_agent, self.task_agent):  # which CAMEL has made anew
            agent.step_timeout, agent.summarize_threshold = None, None

    async def work_out(self, text: str) -> None:
        """The whole task. Cancelled where something goes wrong at home."""
        plan = await self.handle_decompose_append_task(Task(content=text, id="0"))
        for before, after in pairwise(plan):
            after.dependencies = [before]
        self.set_pipeline_tasks(plan)
        self.set_channel(TaskChannel())
        await self.start()

    def _decompose_task(self, task: Task, stream_callback: Any = None) -> list[Task]:
        plan = cast(list[Task], super()._decompose_task(task))  # the other type is that of streams
        if not plan:
            why = "The plan names no sub-tasks, so each worker does the whole task."
            self._reports.tell(Report(Told.RULE_APPLIED, task.id, text=why))
            texts = shares(task.content, len(self._names))
            plan = [Task(content=text, id=f"{task.id}.{n}", parent=task) for n, text in enumerate(texts, 1)]
        elif len(plan) > MOST_SUBTASKS:
            why = f"The plan names {len(plan)} sub-tasks, of which the first {MOST_SUBTASKS} are done."
            self._reports.tell(Report(Told.RULE_APPLIED, task.id, text=why))
        task.subtasks = plan[:MOST_SUBTASKS]
        return task.subtasks

    async def _find_assignee(self, tasks: list[Task]) -> TaskAssignResult:
        try:
            said = (await super()._find_assignee(tasks)).assignments
        except UNREADABLE:
            said = []
        assigned = {one.task_id: one for one in said if one.assignee_id in self._names}
        return TaskAssignResult(assignments=[self._assigned(n, tasks, assigned) for n in range(len(tasks))])

    def _assigned(self, n: int, tasks: list[Task], said: dict[str, TaskAssignment]) -> TaskAssignment:
        """Who does the nth task, and of which ones before it the results are told: those that the coordinator names,
        and the last one."""
        task = tasks[n]
        one = said.get(task.id)
        if one is None:
            one = TaskAssignment(task_id=task.id, assignee_id=stand_in(n, list(self._names)))
            why = "The coordinator named none of the workers, so they take turns."
            self._reports.tell(Report(Told.RULE_APPLIED, task.id, self._names[one.assignee_id], why))
        task.dependencies = [it for it in tasks[:n] if it.id in one.dependencies or it is tasks[n - 1]]
        return one.model_copy(update={"dependencies": [it.id for it in task.dependencies]})

    async def _handle_task_assignment_fallbacks(self, tasks: list[Task]) -> list[TaskAssignment]:
        return []

    def _get_valid_worker_ids(self) -> KeysView[str]:  # type: ignore[override]  # a set has no order to show a model
        return self._names.keys()


class _Worker(SingleAgentWorker):
    """Begins each sub-task with an empty memory. What is no JSON is an answer all the same."""

    def __init__(self, description: str, worker: ChatAgent, reports: Reports) -> None:
        super().__init__(description, worker, use_agent_pool=False)
        self._reports = reports

    async def _process_single_task(self, task: Task) -> None:
        try:
            state = await self._process_task(task, task.dependencies)
        except Exception as error:  # whatever it is, the workforce must hear of it, or it would wait for ever
            task.result, state = f"{type(error).__name__}: {error}", TaskState.FAILED
        task.set_state(state)
        await self._channel.return_task(task.id)

    async def _process_task(self, task: Task, dependencies: list[Task], stream_callback: Any = None) -> TaskState:
        self.worker.reset()  # type: ignore[no-untyped-call]
        response = await self.worker.astep(self._prompt(task, dependencies))
        result = self._read(response.msg.content if response.msg else SILENCE, task)
        task.result = result.content
        failed = result.failed or is_task_result_insufficient(task)
        return TaskState.FAILED if failed else TaskState.DONE

    def _prompt(self, task: Task, dependencies: list[Task]) -> str:
        prompt = PROCESS_TASK_PROMPT.format(
            content=task.content,
            parent_task_content=task.parent.content if task.parent else "",
            dependency_tasks_info=self._get_dep_tasks_info(dependencies),
            additional_info=None,
        )
        return str(prompt)

    def _read(self, text: str, task: Task) -> TaskResult:
        if text == SILENCE:
            return TaskResult(content=text, failed=True)
        try:
            result = TaskResult.model_validate(StructuredOutputHandler.extract_json(text, TaskResult))
        except (ValueError, RecursionError):
            why = "The answer is not the JSON that was asked for, so it is taken as it is."
            self._reports.tell(Report(Told.RULE_APPLIED, task.id, self._reports.name(self.node_id), why))
            return TaskResult(content=text)
        return TaskResult(content=escape(result.content), failed=result.failed)  # JSON may spell what cannot be stored


def _chat_agent(spec: AgentSpec, id: str, model: StepModel) -> ChatAgent:
    return ChatAgent(
        spec.system_message,
        model=model,
        agent_id=id,
        token_limit=NO_LIMIT,
        summarize_threshold=None,
        max_iteration=1,
        retry_attempts=1,
        step_timeout=None,
    )
