"""One row a revision of agents.yaml: the text as written, what it says, and who changed it why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from io import StringIO
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Connection, Engine, Integer, Table, Text, column, func, literal, select, true
from sqlalchemy.sql.selectable import TableValuedAlias

from domain.catalogue import topics_of
from domain.events import Recorded
from domain.roster import ROSTER_ID, AgentRoster
from projections.paging import LIMIT, Page, one, page
from projections.projector import Projector, Row, plain
from projections.stale import marked
from projections.tables import METADATA, Json, Moment, position

TABLE = Table(
    "agent_rosters",
    METADATA,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("agents", Json, nullable=False),
    Column("author", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    position(),
)
"""`revision` is the roster's version too."""


def fold(row: Row | None, recorded: Recorded) -> Row | None:
    """The revision that this event records. Nothing ever changes it."""
    event = recorded.event
    if not isinstance(event, AgentRoster.Revised):
        return row
    author = recorded.envelope.actor
    return {
        "revision": event.originator_version,
        "text": event.text,
        "sha256": event.sha256,
        "agents": plain(event.agents),
        "author": author.subject,
        "author_kind": author.kind.value,
        "reason": event.reason,
        "recorded_at": recorded.recorded_at,
        "position": recorded.position,
    }


def _revision(recorded: Recorded) -> int:
    return recorded.event.originator_version


PROJECTOR = Projector(TABLE, topics_of(AgentRoster), _revision, fold, inserts_only=True)
ROWS = marked(TABLE, literal(ROSTER_ID))

PromptChanges = Mapping[str, Sequence[int]]
_PROMPT_CHANGES: WeakKeyDictionary[Engine, tuple[Any, PromptChanges]] = WeakKeyDictionary()
"""As they were last found, and of how many revisions, up to which."""


def find(db: Connection, revision: int) -> Row | None:
    """One revision."""
    return one(db, ROWS.where(TABLE.c.revision == revision))


def latest(db: Connection) -> Row | None:
    """The revision that new runs are pinned to; None before the first."""
    return one(db, ROWS.order_by(TABLE.c.revision.desc()).limit(1))


def revisions(db: Connection, cursor: str | None = None, limit: int = LIMIT) -> Page:
    """All revisions, the newest first."""
    return page(db, ROWS, TABLE.c.revision, cursor, limit)


def history(db: Connection, agent: str, cursor: str | None = None, limit: int = LIMIT) -> Page:
    """The revisions that changed this agent, the newest first: what it was before and after (None: not there), which
    of its fields are `changed`, and what that did to its system message as a unified diff."""
    specs = _specs()
    after = select(specs.c.value).where(specs.c.value["name"].astext == agent).scalar_subquery()
    told = select(
        *TABLE.c["revision", "author", "author_kind", "reason", "recorded_at", "position"],
        func.lag(after).over(order_by=TABLE.c.revision).label("before"),
        after.label("after"),
    ).subquery()
    found = page(db, select(told).where(told.c.before.is_distinct_from(told.c.after)), told.c.revision, cursor, limit)
    return Page([row | _difference(row["before"] or {}, row["after"] or {}) for row in found.items], found.next_cursor)


def difference(before: Row | None, after: Row) -> Row:
    """What differs between two revisions (None: before the first one): of the texts, and agent by agent."""
    before = before or {"revision": 0, "text": "", "agents": []}
    old, new = ({spec["name"]: spec for spec in revision["agents"]} for revision in (before, after))
    return {
        "against": before["revision"],
        "revision": after["revision"],
        "text_diff": _text_diff(before, after),
        "agents": [
            {"name": name, "before": old.get(name), "after": new.get(name)}
            | _difference(old.get(name) or {}, new.get(name) or {})
            for name in new | old
            if old.get(name) != new.get(name)
        ],
    }


def prompt_changes(db: Connection) -> PromptChanges:
    """By agent, the revisions that changed its system message, in order. To find them is to read every revision, which
    never changes: they are remembered until there is another one."""
    revisions = db.execute(select(func.count(), func.max(TABLE.c.revision))).one()
    known = _PROMPT_CHANGES.get(db.engine)
    if known is None or known[0] != revisions:
        known = _PROMPT_CHANGES[db.engine] = revisions, _find_prompt_changes(db)
    return known[1]


def _find_prompt_changes(db: Connection) -> PromptChanges:
    specs = _specs()
    name, prompt = specs.c.value["name"].astext, specs.c.value["system_message"].astext
    former = func.lag(prompt).over(partition_by=name, order_by=TABLE.c.revision)
    told = select(TABLE.c.revision, name.label("agent"), prompt.label("prompt"), former.label("former"))
    known = told.join_from(TABLE, specs, true()).subquery()
    changed = select(known.c.agent, known.c.revision).where(known.c.prompt.is_distinct_from(known.c.former))
    found = defaultdict[str, list[int]](list)
    for agent, revision in db.execute(changed.order_by(known.c.revision)):
        found[agent].append(revision)
    return dict(found)


def _specs() -> TableValuedAlias:
    """Each agent of a revision, as `value`."""
    return func.jsonb_array_elements(TABLE.c.agents).table_valued(column("value", Json), name="specs")


def _text_diff(before: Row, after: Row) -> str:
    """As `diff -u` tells it, which `patch` understands: line ends count, and a last line without one is marked."""
    old, new = (StringIO(revision["text"], newline="\n").readlines() for revision in (before, after))
    told = unified_diff(old, new, f"revision {before['revision']}", f"revision {after['revision']}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in told)


def _difference(before: Row, after: Row) -> Row:
    said, says = (spec.get("system_message", "").splitlines() for spec in (before, after))
    return {
        "changed": [field for field in after or before if before.get(field) != after.get(field)],
        "prompt_diff": "\n".join(unified_diff(said, says, "before", "after", lineterm="")),
    }
