"""The kinds of jobs that workers know, and what may be asked of each: the form of its payload, with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from domain.errors import Invalid
from domain.importing import AUTO
from domain.job import JobKind, Json, RetryPolicy
from domain.schedule import Schedule

IMPORT = "import"
EVALUATE = "evaluate"


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to choose."""


class CleanUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`log_days`: how long the logs of trainings that are over stay."""

    log_days: Annotated[int, Meta(ge=1, le=3650)] = 90


class Orphans(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`idle_minutes`: how long work may lie without a living worker, while there are workers; `takeovers`: how often it
    may be taken over in a row without getting on."""

    idle_minutes: Annotated[int, Meta(ge=1, le=100_000)] = 360
    takeovers: Annotated[int, Meta(ge=2, le=1000)] = 10


class AuditCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`everything`: from the first event on, and not only what was sealed since the last check."""

    everything: bool = False


class ImportFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`sha256`: of a file that was sent; `form`: what it holds; `name`: what whoever sent it calls it."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    form: Annotated[str, Meta(max_length=40)] = AUTO
    name: Annotated[str, Meta(max_length=200)] = ""


class WithdrawImport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`import_id`: the job that imported; it must be over."""

    import_id: UUID
    reason: Annotated[str, Meta(max_length=2000)] = ""


class Evaluate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`evaluation`: its id."""

    evaluation: UUID


def job_kind(
    name: str,
    queue: str,
    purpose: str,
    form: type[msgspec.Struct],
    policy: RetryPolicy | None = None,
    belongs_to: str | None = None,
) -> JobKind:
    """A kind whose payload has that form."""

    def check(payload: Json) -> Json:
        try:
            known: Json = msgspec.to_builtins(msgspec.convert(payload, form))
        except msgspec.ValidationError as error:
            raise Invalid(f"this is no payload of {name}: {error}") from error
        return known

    schema, policy = msgspec.json.schema(form), policy or RetryPolicy()
    return JobKind(name, queue, purpose, schema, check, policy=policy, belongs_to=belongs_to)


JOB_KINDS: Mapping[str, JobKind] = {
    kind.name: kind
    for kind in (
        job_kind("parked-report", "maintenance", "Counts the events that read models or policies have parked", Nothing),
        job_kind("orphans", "maintenance", "Ends runs and trainings that no worker gets on with", Orphans),
        job_kind("clean-up", "maintenance", "Removes what finished runs and dead workers left behind", CleanUp),
        job_kind("reconcile-adapters", "checks", "Compares the adapters' files with what was registered", Nothing),
        job_kind(
            "audit-check",
            "checks",
            "Verifies the seals of what was sealed since the last check",
            AuditCheck,
            RetryPolicy(max_attempts=3, timeout=3600.0),
        ),
        job_kind(IMPORT, "exchange", "Imports a file of preferences that was sent", ImportFile),
        job_kind("withdraw-import", "exchange", "Withdraws every pair that an import added", WithdrawImport),
        job_kind(
            EVALUATE,
            "evaluations",
            "Compares an adapter with another one, or with the base model, on held-out prompts",
            Evaluate,
            RetryPolicy(max_attempts=4, first_delay=10.0, timeout=1800.0),
            belongs_to="an evaluation",
        ),
    )
}
QUEUES = tuple(dict.fromkeys(kind.queue for kind in JOB_KINDS.values()))
"""Each has its own slots, so that a slow check or a large import does not keep maintenance waiting."""

SCHEDULES: Mapping[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        Schedule("parked-report", "parked-report", "5 * * * *"),
        Schedule("orphans", "orphans", "*/15 * * * *"),
        Schedule("clean-up", "clean-up", "30 3 * * *"),
        Schedule("reconcile-adapters", "reconcile-adapters", "0 4 * * *"),
        Schedule("audit-check", "audit-check", "*/30 * * * *"),
        Schedule("audit-check-everything", "audit-check", "0 5 * * sun", {"everything": True}),
    )
}
"""The periodic jobs, unless the settings say otherwise."""
