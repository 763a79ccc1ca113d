"""`python -m tests.bench.audit_plans [EVENTS]`: how PostgreSQL answers each question of the audit.

Asks them of a log of so many events, with the code's own queries; writes docs/audit-plans.md; and ends with exit code 1
where one reads through all events.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from loguru import logger
from rich.console import Console
from sqlalchemy import Connection, Engine, Index, event, select, text

from adapters.event_feed import EventFeed
from adapters.schema import upgrade
from domain.events import ActorKind
from gateway.bootstrap import open_engine
from projections import agent_rosters, audit, causation
from projections.audit import Filter, positions
from tests.bench import audit_log
from tests.bench.__main__ import server

EVENTS = 10_000_000
CONSOLE = Console()
OUTPUT = Path("docs/audit-plans.md")
ROUNDS = 5
ALL_EVENTS = {"audit", "stored_events"}
MORE_EVENTS = 20_000

Question = Callable[[Connection], object]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a question is answered: in how many milliseconds at first and then as a rule, and by which plans."""

    question: str
    first: float
    usual: float
    plans: list[str]
    reads_all: bool


def main() -> None:
    """Fills, asks, writes."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    logger.remove()
    with server() as database:
        url = database()
        upgrade(url)
        engine = open_engine(url)
        audit_log.fill(engine, events)
        with engine.connect() as db:
            answers = [_asked(engine, db, question, ask) for question, ask in questions(engine, db, events)]
            OUTPUT.write_text(_report(db, events, answers))
        engine.dispose()
    sys.exit(any(answer.reads_all for answer in answers))


def questions(engine: Engine, db: Connection, events: int) -> Iterator[tuple[str, Question]]:
    """What is asked over HTTP, by what it asks for."""
    feed = EventFeed(engine)
    middle = audit_log.middle(events)
    tuesday = audit_log.BEGINNING + timedelta(days=audit_log.DAYS // 3)
    that_day = {"since": tuesday, "until": tuesday + timedelta(days=1)}
    run, correlation = _run_at(db, events // 3)
    long_run, long_correlation = _run_at(db, middle + 1)

    yield "the newest events (from the log itself)", lambda _: feed.page(limit=51, newest_first=True)
    yield "the same, halfway down", lambda _: feed.page(upto=events // 2, limit=51, newest_first=True)
    yield "one aggregate's events (from the log itself)", lambda _: feed.page(aggregate=run, limit=51)
    yield "those of the longest run, halfway down", lambda _: feed.page(after=middle + 25_000, aggregate=long_run)
    yield "a page's events, by position", lambda _: feed.at(range(events // 2, events // 2 + 50))

    def listed(wanted: Filter, upto: int | None = None) -> Question:
        return lambda db: positions(db, wanted, upto=upto, limit=51, newest_first=True)

    for name, wanted in (
        ("a common agent", Filter(agent="agent-1")),
        ("an agent of long ago", Filter(agent="archivist")),
        ("a common tool", Filter(tool="search")),
        ("a rare tool", Filter(tool="hammer")),
        ("agent and tool", Filter(agent="agent-2", tool="calculator")),
        ("agent and tool, never together", Filter(agent="agent-1", tool="calculator")),
        ("agent and tool on a day, two thirds back", Filter(agent="agent-2", tool="calculator", **that_day)),
        ("everything of a day, two thirds back", Filter(**that_day)),
        ("a common model", Filter(model="small")),
        ("a model of long ago", Filter(model="an-early-one")),
        ("an adapter of long ago", Filter(adapter="team@3")),
        ("a revision of agents.yaml of long ago", Filter(revision=3)),
        ("that revision, and an agent", Filter(revision=3, agent="agent-2")),
        ("a person", Filter(actor="annotator-5")),
        ("a process", Filter(actor="worker-5")),
        ("people", Filter(actor_kind=ActorKind.HUMAN)),
        ("agents", Filter(actor_kind=ActorKind.AGENT)),
        ("a common type", Filter(types=("workflow.step_recorded",))),
        ("a rare type", Filter(types=("agent_roster.revised",))),
        ("several types", Filter(types=("agent_roster.revised", "preference.annotated", "workflow.completed"))),
        ("a run and its pairs", Filter(run=run)),
        ("the longest run and its pairs", Filter(run=long_run)),
        ("an aggregate and an agent", Filter(aggregate=run, agent="agent-1")),
        ("a correlation", Filter(correlation=correlation)),
        ("the longest run's correlation", Filter(correlation=long_correlation)),
    ):
        yield name, listed(wanted)
    yield "a common agent, halfway down", listed(Filter(agent="agent-1"), events // 2)
    yield "a common tool, halfway down", listed(Filter(tool="search"), events // 2)
    yield "people, halfway down", listed(Filter(actor_kind=ActorKind.HUMAN), events // 2)

    page = range(events // 2, events // 2 + 50)
    pair = next(iter(positions(db, Filter(types=("preference.proposed",)), limit=1, newest_first=True)))
    event_id = db.scalar(select(audit.TABLE.c.event_id).where(audit.TABLE.c.position == pair))
    yield "an event by its id", lambda db: audit.position_of(db, event_id)  # type: ignore[arg-type]
    yield "a page's agents, tools, models and prompt revisions", lambda db: audit.circumstances(db, page)
    yield "what led to a step of the longest run", lambda db: causation.causes(db, middle + 40_000)
    yield "what led to a pair", lambda db: causation.causes(db, pair)
    yield "what a run led to", lambda db: causation.effects(db, middle - 300)
    yield "what the longest run led to", lambda db: causation.effects(db, middle)
    yield "who changed an agent's prompt", lambda db: agent_rosters.history(db, "agent-1")


def _run_at(db: Connection, position: int) -> tuple[UUID, UUID]:
    """The run of about that position, and its correlation."""
    event = audit.TABLE.c
    of_runs = select(event.aggregate_id, event.correlation_id).where(event.type.like("workflow.%"))
    run, correlation = db.execute(of_runs.where(event.position >= position).order_by(event.position).limit(1)).one()
    return run, correlation


def _asked(engine: Engine, db: Connection, question: str, ask: Question) -> Answer:
    took = []
    with _overheard(engine) as statements:
        for _ in range(ROUNDS + 1):
            began = time.perf_counter()
            ask(db)
            took.append((time.perf_counter() - began) * 1000)
    plans = [_plan(db, *statement) for statement in statements.items()]
    db.rollback()
    scanned = {name for plan in plans for name in _read_through(plan)}
    answer = Answer(
        question, took[0], median(took[1:]), [_shortened(plan) for plan in plans], bool(scanned & ALL_EVENTS)
    )
    CONSOLE.print(
        f"{answer.usual:8.1f} ms  {question}{'  READS ALL EVENTS' if answer.reads_all else ''}", highlight=False
    )
    return answer


@contextmanager
def _overheard(engine: Engine) -> Iterator[dict[str, Any]]:
    """Every different query while this lasts, with its first parameters."""
    statements: dict[str, Any] = {}

    def hear(_db: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith(("SELECT", "WITH")):
            statements.setdefault(statement, parameters)

    event.listen(engine, "before_cursor_execute", hear)
    yield statements
    event.remove(engine, "before_cursor_execute", hear)


def _plan(db: Connection, statement: str, parameters: Any) -> dict[str, Any]:
    (found,) = db.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    plan: dict[str, Any] = found["Plan"]
    return plan


def _read_through(plan: dict[str, Any]) -> Iterator[str]:
    if plan["Node Type"].endswith("Seq Scan"):
        yield plan["Relation Name"]
    for inner in plan.get("Plans", ()):
        yield from _read_through(inner)


_UNREMARKABLE = {"Limit", "Result", "Subquery Scan", "Gather Merge", "Bitmap Heap Scan", "Append", "CTE Scan"}


def _shortened(plan: dict[str, Any]) -> str:
    """The nodes that matter, each with its index or table, and those below it in brackets."""
    kind, on = plan["Node Type"], plan.get("Index Name") or plan.get("Relation Name")
    inner = [short for short in map(_shortened, plan.get("Plans", ())) if short]
    below = " + ".join(dict.fromkeys(inner))
    if kind in _UNREMARKABLE:
        return below
    return " ".join(part for part in (kind, on, f"({below})" if below else "") if part)


def _report(db: Connection, events: int, answers: list[Answer]) -> str:
    server = db.scalar(text("SHOW server_version"))
    lines = [
        f"# How the audit answers at {events:,} events",
        "",
        f"Written by `python -m tests.bench.audit_plans {events}` on PostgreSQL {server} with its default settings.",
        "Lists are pages of 50, the newest first. The plans are those of the code's own queries; none of them reads",
        "through all events.",
        "The first time includes what had to be read from the disk, the other is the median of five more.",
        "",
        "| asked for | ms at first | ms | plan |",
        "|---|--:|--:|---|",
    ]
    for answer in answers:
        plans = "<br>".join(f"`{plan}`" for plan in dict.fromkeys(answer.plans) if plan)
        lines.append(f"| {answer.question} | {answer.first:,.1f} | {answer.usual:,.1f} | {plans} |")
    lines += ["", "## What it takes", "", *_sizes(db), "", *_price(db, events), ""]
    return "\n".join(lines)


def _sizes(db: Connection) -> Iterator[str]:
    yield "| | MB |"
    yield "|---|--:|"
    sized = "SELECT relname, pg_relation_size(oid) / 1048576 FROM pg_class WHERE relname LIKE 'audit%' ORDER BY 2 DESC"
    for name, size in db.execute(text(sized)):
        yield f"| `{name}` | {size:,} |"


def _price(db: Connection, events: int) -> Iterator[str]:
    """What each index costs a writer, at that size."""
    yield "| rows added a second, by one statement to an unlogged table, once it is warm | |"
    yield "|---|--:|"
    _rate(db, events, set())
    yield f"| with all indexes | {_rate(db, events, set()):,.0f} |"
    for index in sorted(audit.TABLE.indexes, key=lambda index: str(index.name)):
        yield f"| without `{index.name}` | {_rate(db, events, {index}):,.0f} |"
    yield f"| with the key alone | {_rate(db, events, audit.TABLE.indexes):,.0f} |"


def _rate(db: Connection, events: int, without: Set[Index]) -> float:
    for index in without:
        index.drop(db)
    began = time.perf_counter()
    audit_log.append(db, events + 1, events + MORE_EVENTS, events)
    rate = MORE_EVENTS / (time.perf_counter() - began)
    db.rollback()
    return rate


if __name__ == "__main__":
    main()
