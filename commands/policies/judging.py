"""How a judge compares answers: by what it says (`verdict/1`), or by how likely it finds each one (`likelihood/1`).

Judges see answers, never their authors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID, uuid5

from commands.policies.held_run import HeldRun
from commands.policies.together import together
from domain import verdict
from domain.model_call import Message
from domain.ranking import Ballot, Outcome
from domain.workflow import Step

TIE_NATS = 0.01
"""Two scores that are closer than this (nats per token) are a tie."""


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
    for n, (one, other) in enumerate(combinations(range(len(answers)), 2)):
        outcome, margin = _preferred(scores[one], scores[other])
        ballot = Ballot(
            id=ballot_id(run.id, judge, n),
            judge=judge,
            method="likelihood/1",
            first=answers[one].step,
            second=answers[other].step,
            outcome=outcome,
            steps=tuple(step.id for step in (scores[one], scores[other]) if step),
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


def ballot_id(run: UUID, judge: str, n: int) -> UUID:
    """The id of a judge's nth ballot."""
    return uuid5(run, f"{judge}/ballot/{n}")


def question(first: Answer, second: Answer) -> str:
    """What a judge is asked: the task and the two answers to it, as A and B."""
    task = first.conversation[0].content
    return f"Task:\n{task}\n\nAnswer A:\n{_shown(first)}\n\nAnswer B:\n{_shown(second)}\n\n{verdict.INSTRUCTION}"


async def _score(run: HeldRun, judge: str, n: int, answer: Answer) -> Step | None:
    if answer.is_blank:
        return None
    return await run.step(judge, "score", n, lambda: run.agents[judge].score(answer.conversation))


def _preferred(one: Step | None, other: Step | None) -> tuple[Outcome, float | None]:
    if one is None or other is None or one.call.score is None or other.call.score is None:
        return Outcome.UNPARSEABLE, None
    difference = one.call.score - other.call.score
    if abs(difference) < TIE_NATS:
        return Outcome.TIE, abs(difference)
    return Outcome.FIRST if difference > 0 else Outcome.SECOND, abs(difference)


async def _ask(run: HeldRun, judge: str, n: int, first: Answer, second: Answer) -> None:
    step = await run.step(judge, "verdict", n, lambda: run.agents[judge].compare(question(first, second)))
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


def _shown(answer: Answer) -> str:
    """What the assistant said; what the user said in between is shown in brackets."""
    later = answer.conversation[1:]
    return "\n\n".join(f"[The user: {m.content}]" if m.role == "user" else m.content for m in later)
