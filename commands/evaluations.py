"""What may be asked of evaluations: by people (request, cancel), and by the job that does them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from commands.job_kinds import EVALUATE, JOB_KINDS
from commands.jobs import new_job
from commands.lora_adapters import in_use, named
from domain.dataset import Dataset
from domain.dataset_recipe import TRAIN
from domain.errors import AlreadyDone, Invalid, NotReady
from domain.evaluation import BASE, MOST_JUDGES, Evaluation, Plan, Subject
from domain.evaluation_figures import Figures
from domain.job import Job, ResultFile
from domain.lora_adapter import Passport
from domain.ports.events import Session, Written
from domain.roster import ROSTER_ID, AgentRoster

PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class RequestEvaluation:
    """`against`: `base`, `production` (the adapter of the same alias that is in use; base where none is), or an
    adapter's name. `dataset_id` None: the one that the adapter was trained on. `part` None: the first that was held
    back, or of another dataset without any, all of it. `judges` empty: the first of the roster."""

    adapter: str
    against: str = BASE
    dataset_id: UUID | None = None
    part: str | None = None
    plan: Plan = field(default_factory=Plan)
    judges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompleteEvaluation:
    evaluation: UUID
    figures: Figures
    items: ResultFile


@dataclass(frozen=True, slots=True)
class FailEvaluation:
    evaluation: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class CancelEvaluation:
    evaluation: UUID
    reason: str
    expected_version: int | None = None


def request(command: RequestEvaluation, session: Session) -> Written:
    """Asks for it and for the job that does it, in one transaction.

    Raises NotFound, NotReady while the dataset is being built, and Invalid for adapters that cannot be compared, a
    dataset that holds nothing back, and judges that are not on the roster.
    """
    adapter = named(command.adapter, session)
    passport = adapter.must_be_usable()
    against = _against(command.against, adapter.name, passport, session)
    dataset = session.get(Dataset, command.dataset_id or passport.dataset_id)
    revision, judges = _judges(command.judges, session)
    subject = Subject(
        adapter=adapter.name,
        against=against,
        base_model=passport.base_model,
        dataset_id=dataset.id,
        part=_part(command.part, dataset, trained_on=dataset.id == passport.dataset_id),
        roster_revision=revision,
        judges=judges,
    )
    id = session.new_id()
    job = new_job(JOB_KINDS[EVALUATE], {"evaluation": str(id)}, session)
    return session.save(Evaluation.request(id, subject, command.plan, job.id, at=session.now()), job)


def complete(command: CompleteEvaluation, session: Session) -> Written:
    """Raises NotFound, AlreadyDone (cancelled)."""
    evaluation = session.get(Evaluation, command.evaluation)
    evaluation.complete(command.figures, command.items, at=session.now())
    return session.save(evaluation)


def fail(command: FailEvaluation, session: Session) -> Written:
    """Raises NotFound, AlreadyDone (it is over)."""
    evaluation = session.get(Evaluation, command.evaluation)
    evaluation.fail(command.reason, at=session.now())
    return session.save(evaluation)


def cancel(command: CancelEvaluation, session: Session) -> Written:
    """Ends it and its job, a dead letter too. Raises NotFound, VersionConflict, AlreadyDone (it is over)."""
    evaluation = session.get(Evaluation, command.evaluation, command.expected_version)
    evaluation.cancel(command.reason, at=session.now())
    job = session.get(Job, evaluation.job)
    if not job.closed:
        job.cancel(command.reason, at=session.now())
    return session.save(evaluation, job)


def _against(asked: str, adapter: str, passport: Passport, session: Session) -> str:
    """The name for good. Raises Invalid where the two cannot be compared."""
    if asked == BASE:
        return BASE
    if asked == PRODUCTION:
        asked = in_use(passport.alias, session) or BASE
        if asked == adapter:
            raise AlreadyDone(f"{adapter} is in production itself; evaluate it against `{BASE}` or another adapter")
        if asked == BASE:
            return BASE
    other = named(asked, session)
    its = other.must_be_usable()
    if its.base_sha256 != passport.base_sha256:
        raise Invalid(f"{other.name} has another base model ({its.base_model}) than {adapter} ({passport.base_model})")
    return other.name


def _part(asked: str | None, dataset: Dataset, trained_on: bool) -> str:
    """Raises NotReady, and Invalid where nothing was held back."""
    if dataset.sha256 is None:
        raise NotReady("the dataset is not built yet; try again in a moment")
    names = dataset.recipe.part_names
    if asked is None:
        asked = names[1] if len(names) > 1 else TRAIN
        if asked == TRAIN and trained_on:
            raise Invalid(
                f"the adapter was trained on all of dataset {dataset.id}: name another one, or train on one that holds "
                "something back (`caravan dataset build --split test=10`)"
            )
    if asked not in names:
        raise Invalid(f"dataset {dataset.id} has no part {asked!r}; it has {', '.join(names)}")
    return asked


def _judges(asked: Sequence[str], session: Session) -> tuple[int | None, tuple[str, ...]]:
    """The revision of the roster, and who judges. Raises Invalid for a judge who is not there."""
    roster = session.find(AgentRoster, ROSTER_ID)
    names = [agent.name for agent in roster.agents] if roster else []
    if unknown := set(asked) - set(names):
        raise Invalid(f"agents.yaml has no agent {', '.join(sorted(unknown))}; it has {', '.join(names) or 'none'}")
    return (roster.version if roster else None), tuple(dict.fromkeys(asked)) or tuple(names[:MOST_JUDGES])
