"""The queue of annotators, on a real PostgreSQL: what is worth most comes first, page by page."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest
from sqlalchemy import Engine

from adapters.event_store import PostgresEventStore
from domain.doubt import Support
from domain.errors import Invalid
from domain.pair import Verdict
from domain.preference import Preference
from projections.annotation_queue import PROJECTOR, count, queue
from projections.engine import catch_up
from projections.projector import Row
from tests.builders import NOW, a_pair, an_id
from tests.fakes import an_envelope


def proposed(name: str, probability: float = 0.8, support: Support | None = None) -> Preference:
    return Preference.propose(
        an_id(name), a_pair(name), probability, 1.0, "bradley-terry/2", None, at=NOW, support=support
    )


@pytest.fixture
def asked(engine: Engine, store: PostgresEventStore) -> Engine:
    sure, unsure = proposed("sure", 0.95), proposed("unsure", 0.7)
    reaching = proposed("reaching", 0.7, Support(1, 0, 0, touching=4))
    contradicted = proposed("contradicted", 0.9, Support(1, 1, 0, 0))
    disputed, mine, skipped, judged = (proposed(name) for name in ("disputed", "mine", "skipped", "judged"))
    disputed.annotate(Verdict.ACCEPTED, "", NOW, "ben")
    disputed.annotate(Verdict.FLIPPED, "", NOW, "cyd")
    mine.assign("ada", NOW)
    skipped.skip("ada", "", NOW)
    judged.annotate(Verdict.ACCEPTED, "", NOW, "ada", wanted=2)
    for each in (sure, unsure, reaching, contradicted, disputed, mine, skipped, judged):
        store.session(an_envelope()).save(each)
    catch_up(engine, store, PROJECTOR)
    return engine


def ids(rows: list[Row]) -> list[UUID]:
    return [row["preference_id"] for row in rows]


ORDER = ["mine", "disputed", "contradicted", "reaching", "unsure", "sure"]


def test_what_people_can_settle_best_comes_first(asked: Engine) -> None:
    with asked.connect() as db:
        page = queue(db, "ada")
        assert ids(page.items) == [an_id(name) for name in ORDER]
        assert count(db, "ada") == len(ORDER)
        assert {"skipped", "judged"} == {
            name for name in ("skipped", "judged") if an_id(name) in ids(queue(db, "ben").items)
        }
        assert page.items[2]["reasons"] == ["1 of 2 judges disagree", "the ballots are 90% sure", "margin 1.00"]


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_pages_give_each_pair_once_in_that_order(asked: Engine, limit: int) -> None:
    seen: list[Row] = []
    cursor = None
    with asked.connect() as db:
        while True:
            page = queue(db, "ada", cursor=cursor, limit=limit)
            seen += page.items
            if (cursor := page.next_cursor) is None:
                break
        assert ids(seen) == [an_id(name) for name in ORDER]
        assert all(one["urgency"] >= other["urgency"] for one, other in pairwise(seen[1:]))
        for nonsense in ("nonsense", "W10", "WzIsMCwwXQ", "WzAsMCwtSW5maW5pdHld"):
            with pytest.raises(Invalid, match="cursor"):
                queue(db, "ada", cursor=nonsense)
