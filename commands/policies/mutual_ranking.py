"""The kinds `mutual_ranking` and `sampled_ranking`: every agent answers the task, then judges pairs of the others'
answers, all of them or some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from commands.policies.held_run import HeldRun
from commands.policies.judging import METHODS, Answer, AnswerPair, Pairing, along_a_ring, every_pair
from commands.policies.together import together
from domain.model_call import Message
from domain.steps import Step


class MutualRanking:
    """A Kind. Agents answer at the same time, each with a memory of its own, and judge once all have answered."""

    fewest_agents = 3
    """A judge must see two answers that are not its own."""
    most_agents = 12
    """Each judges every pair of the others' answers, so that verdicts grow with the third power."""
    pairing: Pairing = staticmethod(every_pair)

    async def play(self, run: HeldRun) -> None:
        """Raises ModelUnavailable, LimitReached, LetGo, LeaseLost or AlreadyDone."""
        answers = await together(*(_answer(run, agent) for agent in run.agents))
        await together(*(_judge(run, agent, self._shown(run, agent, answers)) for agent in run.agents))

    def _shown(self, run: HeldRun, judge: str, answers: Sequence[Answer]) -> Sequence[AnswerPair]:
        return self.pairing(seen_by(judge, answers, run.order))


class SampledRanking(MutualRanking):
    """The same for larger teams: each judge compares along a ring of its own, by the order in which it is shown the
    answers, so that it casts as many ballots as there are answers."""

    fewest_agents = 5
    """With fewer the ring is every pair."""
    most_agents = 24
    """Verdicts grow with the square."""
    pairing: Pairing = staticmethod(along_a_ring)


def seen_by(judge: str, answers: Sequence[Answer], order: Callable[[str, str], UUID]) -> list[Answer]:
    """The answers that a judge is shown: all but its own, sorted by what `order` says of the judge and each author."""
    others = [answer for answer in answers if answer.agent != judge]
    return sorted(others, key=lambda answer: order(judge, answer.agent))


async def _answer(run: HeldRun, name: str) -> Answer:
    """All turns of the task, in order."""
    steps: list[Step] = []
    conversation: list[Message] = []
    for n, turn in enumerate(run.task.turns):
        steps.append(await run.say(name, "answer", n, turn))
        conversation += [Message("user", turn), Message("assistant", steps[-1].call.output)]
    return Answer(name, steps[-1].id, tuple(conversation))


async def _judge(run: HeldRun, judge: str, pairs: Sequence[AnswerPair]) -> None:
    await METHODS[run.agents[judge].spec.ballot](run, judge, pairs)
