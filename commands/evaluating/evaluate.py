"""The job that evaluates an adapter. Doing it again does no harm: it only reads and asks models, and the first result
to be recorded is the evaluation's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Generic, TypeVar
from uuid import UUID

from commands.evaluating.contest import Contest, shown
from commands.evaluating.held_out import HeldOut, held_out, trainings_of
from commands.evaluations import CompleteEvaluation
from commands.policies.held_job import Attempt, PermanentFailure
from commands.policies.together import together
from domain.errors import AlreadyDone, NotFound
from domain.evaluation import BASE, Evaluation, Plan, Subject
from domain.evaluation_figures import Duel, Figures, Resample, ScoredPair, figures
from domain.events import Actor, Recorded
from domain.job import Json
from domain.ports.agents import Agent, AgentFactory, CannotScore, InputRefused
from domain.ports.datasets import DatasetPairs
from domain.ports.events import EventLog, Execute
from domain.ports.jobs import ResultFiles
from domain.ports.roster import Rosters
from domain.roster import AgentSpec, ModelSpec, Sampling

GROUP = 16
"""Pairs, or prompts, that are asked together, between two words on how far it is."""
WITHOUT_SCORES = "of an adapter there, ask for its win rate alone: `pairs` 0, and judges that need no scores"
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Refused(Generic[T]):
    """A pair or a prompt that a model would not take."""

    item: T
    reason: str


@dataclass(frozen=True, slots=True)
class EvaluateAdapter:
    """A handler of jobs. `platform` serves the base model and its adapters by name; `resampling` is the bootstrap with
    that seed."""

    log: EventLog
    execute: Execute
    agents: AgentFactory
    rosters: Rosters
    datasets: DatasetPairs
    files: ResultFiles
    resampling: Callable[[int], Resample]
    platform: str
    actor: Actor

    async def __call__(self, payload: Json, attempt: Attempt) -> Json:
        """The figures. Raises PermanentFailure where there is nothing to ask about, or nobody who wants to know, and
        what keeps models from answering."""
        id = UUID(payload["evaluation"])
        match await asyncio.to_thread(self.log.history, id):
            case [*_, Recorded(event=Evaluation.Completed(figures=known))]:
                return asdict(known)
            case [*_, Recorded(event=Evaluation.Cancelled(reason=reason))]:
                raise PermanentFailure(f"the evaluation was cancelled: {reason}")
            case [Recorded(event=Evaluation.Requested() as event) as requested, *_]:
                return await self._evaluate(requested, event, attempt)
            case _:
                raise PermanentFailure(f"there is no evaluation {id}")

    async def _evaluate(self, requested: Recorded, event: Evaluation.Requested, attempt: Attempt) -> Json:
        id, subject, plan = event.originator_id, event.subject, event.plan
        asked = await asyncio.to_thread(self._held_out, subject, plan)
        contest = Contest(id, plan.seed, subject.adapter, subject.against, *self._cast(subject, plan))
        total = len(asked.pairs) + len(asked.prompts)
        scored, refused = await _by_group(asked.pairs, contest.score, attempt, 0, total)
        if refused and not scored:
            raise PermanentFailure(f"no pair can be scored: {refused[0].reason}")
        duels, unanswered = await _by_group(asked.prompts, contest.duel, attempt, len(asked.pairs), total)
        if unanswered and not duels:
            raise PermanentFailure(f"no prompt can be answered: {unanswered[0].reason}")
        unfit = len(refused) + len(unanswered)
        found = await asyncio.to_thread(self._figures, subject, plan, scored, duels, asked.seen, unfit)
        left_out = [{"preference_id": str(each.item.preference_id), "reason": each.reason} for each in refused]
        left_out += [{"prompt": shown(each.item), "reason": each.reason} for each in unanswered]
        await asyncio.to_thread(self._keep, requested, found, _items(id, scored, duels, left_out))
        return asdict(found)

    def _held_out(self, subject: Subject, plan: Plan) -> HeldOut:
        try:
            asked = held_out(subject, plan, self.datasets, trainings_of(subject, self.log))
        except NotFound as gone:
            raise PermanentFailure(str(gone)) from gone
        if not (asked.pairs or asked.prompts):
            raise PermanentFailure(
                f"part {subject.part} of dataset {subject.dataset_id} has no pair to ask about"
                + (f" but {asked.seen} whose prompts were trained on: name another dataset" if asked.seen else "")
            )
        return asked

    def _cast(self, subject: Subject, plan: Plan) -> tuple[dict[str, Agent], dict[str, Agent]]:
        """Contestants and judges. Judges have no adapter: one that runs on a contestant's weights would vote for
        itself."""
        sampling = Sampling(temperature=0.0, max_tokens=plan.max_tokens, seed=plan.seed)
        bare = AgentSpec(BASE, "", "", ModelSpec(self.platform, subject.base_model, sampling=sampling))
        contestants = {
            name: self.agents.create(replace(bare, name=name), None if name == BASE else name, plan.max_tokens)
            for name in dict.fromkeys((BASE, subject.against, subject.adapter))
        }
        alone = replace(bare, system_message="You judge answers fairly.", ballot="likelihood")
        known = self.rosters.agents(subject.roster_revision) if subject.roster_revision else (alone,)
        specs = [spec for spec in known if spec.name in subject.judges] or [alone]
        plain = [replace(spec, adapter=None, tools=(), cache=None) for spec in specs]
        return contestants, {spec.name: self.agents.create(spec, None, None) for spec in plain}

    def _figures(
        self, subject: Subject, plan: Plan, scored: Sequence[ScoredPair], duels: Sequence[Duel], seen: int, refused: int
    ) -> Figures:
        resample = self.resampling(plan.seed)
        return figures(scored, duels, subject.adapter, subject.against, BASE, seen, refused, resample)

    def _keep(self, requested: Recorded, found: Figures, items: Json) -> None:
        id = requested.event.originator_id
        file = self.files.keep(json.dumps(items, ensure_ascii=False).encode())
        try:
            self.execute(CompleteEvaluation(id, found, file), requested.followed_by(self.actor))
        except AlreadyDone as cancelled:
            raise PermanentFailure(str(cancelled)) from cancelled


async def _by_group(
    items: Sequence[T], ask: Callable[[T], Awaitable[R]], attempt: Attempt, done: int, total: int
) -> tuple[list[R], list[Refused[T]]]:
    found: list[R] = []
    refused: list[Refused[T]] = []
    for start in range(0, len(items), GROUP):
        attempt.heartbeat(f"{(done + start) / total:.0%}: {done + start} of {total} pairs and prompts")
        for each in await together(*(_one(ask, item, attempt) for item in items[start : start + GROUP])):
            if isinstance(each, Refused):
                refused.append(each)
            else:
                found.append(each)
    return found, refused


async def _one(ask: Callable[[T], Awaitable[R]], item: T, attempt: Attempt) -> R | Refused[T]:
    try:
        return await ask(item)
    except InputRefused as refused:
        return Refused(item, str(refused))
    except CannotScore as unable:
        raise PermanentFailure(f"{unable}; {WITHOUT_SCORES}") from unable
    finally:
        attempt.heartbeat()


def _items(evaluation: UUID, scored: Iterable[ScoredPair], duels: Iterable[Duel], left_out: Sequence[Json]) -> Json:
    return {
        "evaluation": str(evaluation),
        "pairs": [asdict(pair) | {"preference_id": str(pair.preference_id)} for pair in scored],
        "prompts": [asdict(duel) | {"score": duel.score} for duel in duels],
        "left_out": left_out,
    }
