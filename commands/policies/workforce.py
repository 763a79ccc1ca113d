"""The kind `workforce`: the first agent plans the task and assigns its sub-tasks, the others work them off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count

from commands.policies.held_run import HeldRun
from domain.model_call import Message
from domain.ports.agents import Society
from domain.workforce import Report


class Workforce:
    """A Kind. The coordinator plans (`plan`) and assigns (`assign`), each worker does its sub-tasks (`work`); their
    calls are counted by agent and phase."""

    fewest_agents = 2
    most_agents = 12

    def __init__(self, society: Society) -> None:
        self._society = society

    async def play(self, run: HeldRun) -> None:
        """Raises ModelUnavailable, LimitReached, LetGo, LeaseLost or AlreadyDone."""
        asked: Counter[tuple[str, str]] = Counter()
        reports = count()

        async def ask(agent: str, phase: str, messages: Sequence[Message]) -> str:
            n = asked[agent, phase]
            asked[agent, phase] += 1
            step = await run.step(agent, phase, n, lambda: run.agents[agent].reply(messages))
            return step.call.output

        async def tell(report: Report) -> None:
            await run.report(next(reports), report)

        task = "\n\n".join(run.task.turns)
        await self._society.work_out(task, [agent.spec for agent in run.agents.values()], ask, tell)
