"""The kind `mutual_ranking`: every agent answers the task, then judges all pairs of the others' answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID, uuid5

from commands.policies.held_run import HeldRun
from commands.policies.judging import METHODS, Answer
from commands.policies.together import together
from domain.model_call import Message
from domain.workflow import Step


class MutualRanking:
    """A Kind. Agents answer at the same time, each with a memory of its own, and judge once all have answered."""

    async def play(self, run: HeldRun) -> None:
        """Raises ModelUnavailable, LeaseLost or AlreadyDone."""
        answers = await together(*(_answer(run, agent) for agent in run.agents))
        await together(*(_judge(run, agent, seen_by(agent, answers, run.id)) for agent in run.agents))


def seen_by(judge: str, answers: Sequence[Answer], run: UUID) -> list[Answer]:
    """The answers that a judge is shown: all but its own, in an order that only the run and the judge decide."""
    others = [answer for answer in answers if answer.agent != judge]
    return sorted(others, key=lambda answer: uuid5(run, f"{judge}/sees/{answer.agent}"))


async def _answer(run: HeldRun, name: str) -> Answer:
    """All turns of the task, in order; those that are recorded are put back into the agent's memory."""
    agent = run.agents[name]
    steps: list[Step] = []
    conversation: list[Message] = []
    for n, turn in enumerate(run.task.turns):
        if known := run.recorded(name, "answer", n):
            agent.remember(turn, known.call.output)
        steps.append(known or await run.step(name, "answer", n, partial(agent.answer, turn)))
        conversation += [Message("user", turn), Message("assistant", steps[-1].call.output)]
    return Answer(name, steps[-1].id, tuple(conversation))


async def _judge(run: HeldRun, judge: str, answers: Sequence[Answer]) -> None:
    await METHODS[run.agents[judge].spec.ballot](run, judge, answers)
