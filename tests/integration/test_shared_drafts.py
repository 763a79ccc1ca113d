"""Processes that draft a dataset together: the same bytes, no process left, and errors as without them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.event_json import UnknownEvent
from adapters.event_store import PostgresEventStore
from adapters.shared_drafts import DraftingProcess, Order, SharedDrafter
from domain.dataset_drafts import Drafting, Page
from domain.dataset_recipe import Filter, Holdout, Part, Recipe
from domain.dataset_rows import BEGINNING, TELLING
from domain.preference import Preference, Verdict
from tests.builders import NOW, a_pair, an_id
from tests.fakes import an_envelope
from tests.integration.processes import eventually, kill_9, lives

PAIRS = 120
RECIPE = Recipe(parts=(Part("test", 20),))
BUILDS_FOR_EVER = """
import sys
from contextlib import closing
from adapters.event_store import PostgresEventStore
from adapters.shared_drafts import SharedDrafter
from domain.dataset_recipe import EVERYTHING, USUAL
with closing(PostgresEventStore(sys.argv[1])) as store:
    with SharedDrafter(store, sys.argv[1], 2, alone=1, lives=10).pages(EVERYTHING, USUAL, store.head()) as pages:
        next(pages), next(pages)
        print(flush=True)
        sys.stdin.read()
"""

MADE_OF_VERSION_9 = """
UPDATE stored_events
SET state = convert_to(replace(convert_from(state, 'UTF8'), '"class_version":3', '"class_version":9'), 'UTF8')
WHERE notification_id = %s
"""


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    """With pairs, a third of which were flipped once all had been proposed."""
    with closing(PostgresEventStore(database)) as store:
        pairs = [
            Preference.propose(
                an_id(f"pair {n}"), a_pair(f"“{n}”\n"), 0.5 + (n + 1) / 300, 1.1, "by-hand/1", None, at=NOW
            )
            for n in range(PAIRS)
        ]
        store.session(an_envelope()).save(*pairs)
        for pair in pairs[::3]:
            pair.annotate(Verdict.FLIPPED, "", at=NOW)
        store.session(an_envelope()).save(*pairs[::3])
        yield store


def drafted(drafter: SharedDrafter, position: int) -> list[Page]:
    with drafter.pages(Filter(min_weight=0.1), RECIPE, position) as pages:
        return list(pages)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(processes=st.integers(2, 4), lives=st.integers(7, 40), position=st.integers(PAIRS // 2, PAIRS + 50))
def test_the_pages_are_the_same_whoever_drafts_them(
    store: PostgresEventStore, database: str, processes: int, lives: int, position: int
) -> None:
    alone = drafted(SharedDrafter(store, database, 1, lives=lives), position)
    shared = drafted(SharedDrafter(store, database, processes, alone=1, lives=lives), position)
    assert [page for page in shared if page.reached] == alone
    assert sum(len(page.drafts) for page in alone) > PAIRS / 4
    assert not children()


def test_a_process_drafts_what_it_is_asked_for_by_the_whole_recipe(store: PostgresEventStore, database: str) -> None:
    """Of which a filter and held-out tasks go to it too. It is asked alone: what it did not tell would be drafted
    here."""
    head = store.head()
    filter = Filter(min_weight=0.1, verdicts=(Verdict.FLIPPED,), until=datetime.now(UTC) + timedelta(days=1))
    held = replace(RECIPE, holdouts=(Holdout("exam", ("Write a haiku.",)),))
    with closing(DraftingProcess(Order(database, filter, held, head))) as process:
        for span in ((0, 70), (70, head)):
            process.ask(span)
        told = [process.told(), process.told()]
    drafting = Drafting(filter, held)
    assert told == [
        drafting.page(store.lives(BEGINNING, head, TELLING, after, until)) for after, until in ((0, 70), (70, head))
    ]
    assert sum(len(page.drafts) for page in told if page) > 10


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "adapters.draft_process" in child.cmdline()]


def test_a_process_that_is_killed_costs_nothing_but_time(store: PostgresEventStore, database: str) -> None:
    drafter, position = SharedDrafter(store, database, 2, alone=1, lives=10), store.head()
    with drafter.pages(Filter(), RECIPE, position) as pages:
        found = [next(pages), next(pages)]
        one, _other = children()
        kill_9(one.pid)
        found += pages
    whole = SharedDrafter(store, database, 1).pages(Filter(), RECIPE, position)
    with whole as expected:
        assert [draft for page in found for draft in page.drafts] == [
            draft for page in expected for draft in page.drafts
        ]


def test_an_event_that_cannot_be_read_is_refused_as_without_processes(store: PostgresEventStore, database: str) -> None:
    with psycopg.connect(database) as db:
        db.execute(MADE_OF_VERSION_9, (70,))
    with pytest.raises(UnknownEvent, match="version 9"):
        drafted(SharedDrafter(store, database, 2, alone=1, lives=10), store.head())
    assert not children()


def test_it_knows_how_to_reach_the_log_and_no_other_secret(
    database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with closing(DraftingProcess(Order(database, Filter(), RECIPE, 0))):
        (child,) = children()
        assert "OPENAI_API_KEY" not in child.environ()
        assert database not in child.cmdline()


def test_they_end_with_the_process_that_asked_them(store: PostgresEventStore, database: str) -> None:
    program = [sys.executable, "-c", BUILDS_FOR_EVER, database]
    parent = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout
    parent.stdout.readline()
    helpers = psutil.Process(parent.pid).children(recursive=True)
    assert len(helpers) == 2
    kill_9(parent.pid)
    parent.communicate()
    eventually(lambda: not any(lives(helper.pid) for helper in helpers))
