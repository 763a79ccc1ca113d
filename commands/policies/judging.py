"""How a judge compares answers: by what it says (`verdict/1`), or by how likely it finds each one (`likelihood/1`).

Judges see answers, never their authors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

from commands.policies.held_run import HeldRun
from commands.policies.together import together
from domain import verdict
from domain.model_call import Message
from domain.ranking import Ballot, ballot_id, preferred
from domain.workflow import Step


@dataclass(frozen=True, slots=True)
class Answer:
    """An agent's part in a run. `step` is its last one, `conversation` all turns of user and assistant."""

    agent: str
    step: UUID
    conversation: tuple[Message, ...]

    @property
    def is_blank(self) -> bool:
        """Whether the agent said nothing at all."""
        return not any(message.content.strip() for message in self.conversation if message.role == "assistant")


Method = Callable[[HeldRun, str, Sequence[Answer]], Awaitable[None]]


async def by_likelihood(run: HeldRun, judge: str, answers: Sequence[Answer]) -> None:
    """`likelihood/1`: scores each answer once, then casts a ballot a pair. A blank answer has no score, and ballots
    on it are unparseable."""
    scores = await together(*(_score(run, judge, n, answer) for n, answer in enumerate(answers)))
    for n, ((first, one), (second, other)) in enumerate(combinations(zip(answers, scores, strict=True), 2)):
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


async def by_verdict(run: HeldRun, judge: str, answers: Sequence[Answer]) -> None:
    """`verdict/1`: asks for the better one of each pair in both orders, and casts a ballot for each order: a judge that
    goes by the position contradicts itself, and its two ballots cancel out."""
    pairs = [order for one, other in combinations(answers, 2) for order in ((one, other), (other, one))]
    await together(*(_ask(run, judge, n, first, second) for n, (first, second) in enumerate(pairs)))


METHODS: Mapping[str, Method] = {"likelihood": by_likelihood, "verdict": by_verdict}
"""By the name that an agent's configuration gives under `ballot`."""


async def _score(run: HeldRun, judge: str, n: int, answer: Answer) -> Step | None:
    if answer.is_blank:
        return None
    return await run.step(judge, "score", n, lambda: run.agents[judge].score(answer.conversation))


def _nats(scored: Step | None) -> float | None:
    return scored.call.score if scored else None


async def _ask(run: HeldRun, judge: str, n: int, first: Answer, second: Answer) -> None:
    asked = verdict.question(first.conversation, second.conversation)
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
