"""How far people agree, on a real PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from adapters.agreement import Agreement
from adapters.event_store import PostgresEventStore
from domain.opinion import Scores
from domain.pair import Verdict
from projections import agreement
from projections.engine import catch_up
from projections.projector import Row
from tests.builders import NOW, a_preference
from tests.fakes import an_envelope


@pytest.fixture
def report(engine: Engine, store: PostgresEventStore) -> Row:
    """Of twelve pairs, on one of which two people differ, by verdict and by a criterion. With the proposed answer
    first, chance would have them agree as often."""
    for number in range(12):
        pair = a_preference(f"pair {number}")
        for annotator in ("ada", "ben"):
            differs = annotator == "ben" and number == 0
            verdict = Verdict.FLIPPED if differs else Verdict.ACCEPTED
            pair.annotate(verdict, "", NOW, annotator, Scores(0, {"clarity": 2 if differs else 5}))
        store.session(an_envelope()).save(pair)
    for projector in agreement.NEEDED:
        catch_up(engine, store, projector)
    with engine.connect() as db:
        return agreement.report(db, Agreement())


def test_people_who_agree_with_what_was_proposed_agree_beyond_chance(report: Row) -> None:
    overall = report["overall"]
    assert (overall["pairs"], overall["unanimous"]) == (12, 11)
    assert overall["alpha"] > 0.7


def test_so_do_their_ratings_by_a_criterion_that_compares_the_answers(report: Row) -> None:
    (clarity,) = report["criteria"]
    assert (clarity["criterion"], clarity["pairs"], clarity["unanimous"]) == ("clarity", 12, 11)
    assert clarity["alpha"] > 0.7
