"""Where a pair comes from, and where it went, as the read models of runs, ballots, trainings and others have it."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection, func, select

from domain.weighting import WEIGHED_LOSS
from projections import (
    audit,
    ballots,
    datasets,
    dpo_annotations,
    interaction_log,
    jobs,
    lora_adapters,
    training_runs,
    workflow_runs,
)
from projections.paging import every
from projections.projector import Row

NEEDED = (
    dpo_annotations.PROJECTOR,
    interaction_log.PROJECTOR,
    ballots.PROJECTOR,
    workflow_runs.PROJECTOR,
    jobs.PROJECTOR,
    audit.PROJECTOR,
    datasets.PROJECTOR,
    training_runs.PROJECTOR,
    lora_adapters.PROJECTOR,
)
"""The read models that it is made of."""
STEP = ("step_id", "run_id", "agent", "phase", "n", "model", "adapter", "position")
RUN = ("run_id", "kind", "actor", "roster_revision", "requested_position")
TRAINING = ("run_id", "dataset_id", "state", "adapter_name")


def origins(db: Connection, pair: Row) -> Row:
    """What led to a pair of `dpo_annotations`: its run, the steps that gave the answers and the ballots on them, or the
    import that brought it."""
    run, step, ballot = workflow_runs.TABLE.c, interaction_log.TABLE.c, ballots.TABLE.c
    answers = [id for id in (pair["chosen_step"], pair["rejected_step"]) if id]
    found = every(db, select(*run[RUN]).where(run.run_id == pair["run_id"]))
    return {
        "run": found[0] if found else None,
        "imported": _imported(db, pair["source"]) if pair["source"] else None,
        "answers": every(db, select(*step[STEP]).where(step.step_id.in_(answers)).order_by(step.position)),
        "ballots": every(
            db, ballots.ROWS.where(ballot.ballot_id.in_([UUID(id) for id in pair["ballots"]])).order_by(ballot.position)
        ),
    }


def _imported(db: Connection, source: Row) -> Row:
    """With the file's name, as whoever sent it called it."""
    job = jobs.find(db, UUID(source["import_id"]))
    return source | {"name": job and job["payload"]["name"]}


def people(db: Connection, pair: Row) -> list[Row]:
    """Who did what to the pair, or asked for its run: `actor`, `actor_kind`, and the types of the events."""
    event = audit.TABLE.c
    of_pair = event.aggregate_id == pair["preference_id"]
    of_run = (event.aggregate_id == pair["run_id"]) & (event.type == "workflow.requested")
    types = func.array_agg(event.type.distinct()).label("did")
    query = select(event.actor, event.actor_kind, types).where(of_pair | of_run)
    return every(db, query.group_by(event.actor, event.actor_kind).order_by(func.min(event.position)))


def candidates(db: Connection, pair: Row, limit: int) -> list[Row]:
    """The newest so many of the datasets that are built and may hold the pair: they know of its proposal."""
    dataset = datasets.TABLE.c
    query = select(*dataset["dataset_id", "as_of", "sha256", "recipe", "built_at"])
    query = query.where(dataset.sha256.is_not(None), dataset.as_of >= pair["proposed_position"])
    return every(db, query.order_by(dataset.requested_position.desc()).limit(limit))


def trainings(db: Connection, holding: Collection[Row]) -> list[Row]:
    """Those that take the pair from one of these datasets, in the order in which they were asked for. `heavier` says of
    a dataset how many of its pairs are taken before this one, whose `weight` it has."""
    run, made = training_runs.TABLE.c, lora_adapters.TABLE.c
    held = {each["dataset_id"]: each for each in holding}
    older = func.coalesce(made.passport["weighting"].astext != WEIGHED_LOSS, False).label("older")
    query = select(*run[TRAINING], run.config["max_pairs"].as_integer().label("most"), older)
    query = query.outerjoin_from(training_runs.TABLE, lora_adapters.TABLE, made.name == run.adapter_name)
    found = every(db, query.where(run.dataset_id.in_(held)).order_by(run.requested_position))
    return [row for row in found if _takes(held[row["dataset_id"]], row.pop("most"), row.pop("older"))]


def _takes(held: Row, most_pairs: int, older: bool) -> bool:
    """Older trainings took pairs by another rule: of theirs none that weighs anything is known not to be taken."""
    return held["weight"] > 0 and (older or held["heavier"] < most_pairs)


def adapters(db: Connection, names: Collection[str]) -> list[Row]:
    """How these adapters stand."""
    adapter = lora_adapters.TABLE.c
    query = select(adapter.name, adapter.state).where(adapter.name.in_(names))
    in_use = {name for name in names if lora_adapters.promoted(db, name.partition("@")[0]) == name}
    return [row | {"in_use": row["name"] in in_use} for row in every(db, query.order_by(adapter.name))]
