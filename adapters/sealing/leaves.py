"""What is hashed of an event: its whole envelope, and the commitment to its data in place of the data.

A leaf is JSON in the canonical form of RFC 8785: UTF-8, keys in order, no spaces. PostgreSQL writes exactly that of the
columns below, none of which holds a fraction. Uuids and bytes are lower-case hex, times ISO 8601 in UTC. An event
without a commitment (nothing of Caravan's writes one) has the SHA-256 of its data instead, in `state_sha256`.

So data and salt can be erased together, and the leaf stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, text

from adapters.sealing.merkle import leaf_hash

LEAF = {
    "actor_kind": "actor_kind",
    "actor_subject": "actor_subject",
    "causation_id": "causation_id",
    "command_id": "command_id",
    "command_index": "command_index",
    "commitment": "encode(commitment, 'hex')",
    "correlation_id": "correlation_id",
    "data_subjects": "data_subjects",
    "event_id": "event_id",
    "fingerprint": "encode(fingerprint, 'hex')",
    "originator_id": "originator_id",
    "originator_version": "originator_version",
    "position": "notification_id",
    "project": "project",
    "recorded_at": "to_json(recorded_at AT TIME ZONE 'UTC') #>> '{}' || 'Z'",
    "schema_version": "schema_version",
    "state_sha256": "CASE WHEN commitment IS NULL THEN encode(sha256(state), 'hex') END",
    "traceparent": "traceparent",
    "type": "topic",
}
"""Each key, in the canonical order, and what it says of the row of `stored_events`."""

_FIELDS = ", ".join(f"{expression} AS {key}" for key, expression in LEAF.items())
_EVENTS_WITH_LEAF = f"stored_events AS event CROSS JOIN LATERAL (SELECT {_FIELDS}) AS leaf"
_LEAVES = text(
    f"SELECT position, row_to_json(leaf)::text FROM {_EVENTS_WITH_LEAF}"  # noqa: S608
    " WHERE notification_id > :after ORDER BY notification_id LIMIT :limit"
)
_EVIDENCE = text(
    "SELECT position, row_to_json(leaf)::text, event.commitment, state,"  # noqa: S608
    " (SELECT salt FROM event_salts AS salts WHERE salts.position = event.notification_id)"
    f" FROM {_EVENTS_WITH_LEAF}"
    " WHERE notification_id BETWEEN :first AND :last ORDER BY notification_id"
)

BEGINNING, END = -(2**63), 2**63 - 1
"""Of all positions that a row could claim."""

STREAMED = 500
"""Events at a time, each with its data."""
NOTHING = (None, b"", b"{}")
"""What may be left of the data of an event that was erased."""


class Leaf(NamedTuple):
    """An event in the tree."""

    position: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """An event as it is stored: what is hashed of it, and what its data must match."""

    position: int
    envelope: bytes
    commitment: bytes | None
    state: bytes | None
    salt: bytes | None

    @property
    def leaf(self) -> Leaf:
        return Leaf(self.position, leaf_hash(self.envelope))

    @property
    def erased(self) -> bool:
        """Whether data and salt are gone."""
        return self.commitment is not None and self.salt is None and self.state in NOTHING

    @property
    def fault(self) -> str | None:
        """What is wrong with the data; None where it is what was committed to, or erased."""
        if self.commitment is None or self.erased:
            return None
        if self.salt is None:
            return "its salt is gone and its data is not: nothing proves that data"
        if sha256(self.salt + (self.state or b"")).digest() != self.commitment:
            return "its data or salt is not what was recorded"
        return None


def leaves_after(db: Connection, position: int, limit: int) -> list[Leaf]:
    """Those of the next events, in order."""
    rows = db.execute(_LEAVES, {"after": position, "limit": limit})
    return [Leaf(position, leaf_hash(envelope.encode())) for position, envelope in rows]


def evidence(db: Connection, first: int = BEGINNING, last: int = END) -> Iterator[Evidence]:
    """The events of these positions, in order, streamed."""
    rows = db.execute(_EVIDENCE, {"first": first, "last": last}, execution_options={"yield_per": STREAMED})
    for position, envelope, commitment, state, salt in rows:
        yield Evidence(position, envelope.encode(), commitment, state, salt)
