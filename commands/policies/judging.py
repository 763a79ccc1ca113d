"""How a judge compares answers: by what it says (`verdict/1`), or by how likely it finds each one (`likelihood/1`).

Judges see answers, never their authors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Protocol
from uuid import UUID

from commands.policies.together import together
from domain import verdict
from domain.model_call import Message, ModelCall
from domain.ports.agents import Agent
from domain.ranking import Ballot, ballot_id, preferred
from domain.steps import Step


@dataclass(frozen=True, slots=True)
class Answer:
    """An agent's part in a run. `step` is its last one, `conversation` all turns of user and assistant, after what was
    `given` to all who answer."""

    agent: str
    step: UUID
    conversation: tuple[Message, ...]
    given: tuple[Message, ...] = ()

    @property
    def whole(self) -> tuple[Message, ...]:
        """From the first word on."""
        return (*self.given, *self.conversation)

    @property
    def is_blank(self) -> bool:
        """Whether the agent said nothing at all."""
        return not any(message.content.strip() for message in self.conversation if message.role == "assistant")


class Judging(Protocol):
    """Where judging takes place: a run, as its worker holds it, or an evaluation."""

    @property
    def id(self) -> UUID: ...

    @property
    def agents(self) -> Mapping[str, Agent]: ...

    async def step(self, agent: str, phase: str, n: int, call: Callable[[], Awaitable[ModelCall]]) -> Step:
        """The step that this call makes, or made."""

    async def cast(self, ballot: Ballot) -> None:
        """Keeps the judge's opinion."""


AnswerPair = tuple[Answer, Answer]
Pairing = Callable[[Sequence[Answer]], Sequence[AnswerPair]]
Method = Callable[[Judging, str, Sequence[AnswerPair]], Awaitable[None]]


def every_pair(answers: Sequence[Answer]) -> list[AnswerPair]:
    """Each answer with each later one."""
    return list(combinations(answers, 2))


def along_a_ring(answers: Sequence[Answer]) -> list[AnswerPair]:
    """Each answer with the next one, and the last with the first: as many pairs as answers, each answer in two of them,
    and comparisons lead from each to every other one. Of up to three that is every pair."""
    if len(answers) < 4:
        return every_pair(answers)
    return [*pairwise(answers), (answers[-1], answers[0])]


async def by_likelihood(run: Judging, judge: str, pairs: Sequence[AnswerPair]) -> None:
    """`likelihood/1`: scores each answer once, then casts a ballot a pair. A blank answer has no score, and ballots
    on it are unparseable."""
    answers = list({answer.step: answer for pair in pairs for answer in pair}.values())
    scores = await together(*(_score(run, judge, n, answer) for n, answer in enumerate(answers)))
    scored = {answer.step: score for answer, score in zip(answers, scores, strict=True)}
    for n, (first, second) in enumerate(pairs):
        one, other = scored[first.step], scored[second.step]
        outcome, margin = preferred(_nats(one), _nats(other))
        ballot = Ballot(
            id=ballot_id(run.id, judge, n),
            judge=judge,
            method="likelihood/1",
            first=first.step,
            second=second.step,
            outcome=outcome,
            steps=tuple(step.id for step in (one, other) if step),
            margin=margin,
        )
        await run.cast(ballot)


async def by_verdict(run: Judging, judge: str, pairs: Sequence[AnswerPair]) -> None:
    """`verdict/1`: asks for the better one of each pair in both orders, and casts a ballot for each order: a judge that
    goes by the position contradicts itself, and its two ballots cancel out."""
    orders = [order for one, other in pairs for order in ((one, other), (other, one))]
    await together(*(_ask(run, judge, n, first, second) for n, (first, second) in enumerate(orders)))


METHODS: Mapping[str, Method] = {"likelihood": by_likelihood, "verdict": by_verdict}
"""By the name that an agent's configuration gives under `ballot`."""


async def _score(run: Judging, judge: str, n: int, answer: Answer) -> Step | None:
    if answer.is_blank:
        return None
    return await run.step(judge, "score", n, lambda: run.agents[judge].score(answer.conversation, answer.given))


def _nats(scored: Step | None) -> float | None:
    return scored.call.score if scored else None


async def _ask(run: Judging, judge: str, n: int, first: Answer, second: Answer) -> None:
    asked = verdict.question(first.whole, second.whole)
    step = await run.step(judge, "verdict", n, lambda: run.agents[judge].compare(asked))
    ballot = Ballot(
        id=ballot_id(run.id, judge, n),
        judge=judge,
        method="verdict/1",
        first=first.step,
        second=second.step,
        outcome=verdict.outcome_of(step.call.output),
        steps=(step.id,),
    )
    await run.cast(ballot)
