"""Whoever changes what is not sealed yet, or was not when it was changed, is found out."""

from __future__ import annotations

import pytest

from adapters.event_tables import STORED_EVENTS
from adapters.sealing.told import Heard
from adapters.sealing.verification import verify
from tests.integration.sealing.suspect import ENTRY, Scene, Suspect, edited, seal

# --- the tail that is not sealed yet

TOLD = sorted(
    {column.name for column in STORED_EVENTS.columns}
    - {"command_index", "fingerprint"}  # NATS is not told of these two: docs/audit.md says so
)


@pytest.mark.parametrize("column", TOLD)
def test_an_edit_of_the_tail_is_found_where_it_was_made(suspect: Suspect, scene: Scene, column: str):
    position = scene.sealed + 2
    value = edited(STORED_EVENTS.c[column])
    suspect.tamper(f"UPDATE stored_events SET {column} = {value} WHERE notification_id = {position}")
    assert suspect.verified(heard=True).position == position


@pytest.mark.parametrize(
    "value", ["state = 'x'", "event_id = gen_random_uuid()", "originator_version = originator_version + 5"]
)
def test_some_edits_of_the_tail_are_found_without_nats(suspect: Suspect, scene: Scene, value: str):
    position = scene.sealed + 2
    suspect.tamper(f"UPDATE stored_events SET {value} WHERE notification_id = {position}")
    assert suspect.verified().position == position


def test_an_event_that_is_missing_in_the_tail_is_found(suspect: Suspect, scene: Scene):
    suspect.tamper(f"DELETE FROM stored_events WHERE notification_id = {scene.sealed + 1}")
    assert suspect.verified(heard=True).position == scene.sealed + 1
    assert suspect.verified().position == scene.sealed + 2, "the next version of the aggregate has no predecessor"


def test_an_event_that_was_added_to_the_tail_behind_the_others_back_is_found(suspect: Suspect, scene: Scene):
    values = f"SELECT gen_random_uuid(), 1, 'workflow.requested', '{{}}', NULL, {scene.tail_gap}"
    suspect.tamper(f"{ENTRY.replace('event_id)', 'event_id, notification_id)')} {values}")
    assert suspect.verified(heard=True).position == scene.tail_gap


def test_a_tail_that_was_cut_off_is_found(suspect: Suspect, scene: Scene):
    suspect.tamper(f"DELETE FROM stored_events WHERE notification_id = {scene.head}")
    assert suspect.verified(heard=True).position == scene.head
    report = suspect.verified()
    assert report.position
    assert report.position <= scene.head
    assert report.problem
    assert report.problem.endswith("it was cut")


# --- what was changed before it was sealed


@pytest.mark.parametrize("change", ["UPDATE stored_events SET actor_subject = 'eve'", "DELETE FROM stored_events"])
def test_a_seal_does_not_hide_a_change_that_came_before_it(suspect: Suspect, scene: Scene, change: str):
    position = scene.sealed + 2
    suspect.tamper(f"{change} WHERE notification_id = {position}")
    seal(suspect.engine, scene.keys, anchored=False)
    assert suspect.verified().problem is None
    assert suspect.verified(heard=True).position == position


def test_an_event_that_is_sealed_and_erased_since_is_not_held_against_nats(suspect: Suspect, scene: Scene):
    position = scene.sealed + 2
    seal(suspect.engine, scene.keys, anchored=False)
    suspect.erase(position)
    report = suspect.verified(heard=True)
    assert (report.problem, report.erased) == (None, [position])


def test_nats_may_have_lost_news_of_what_is_sealed(suspect: Suspect, scene: Scene):
    seal(suspect.engine, scene.keys, anchored=False)
    heard = {position: event for position, event in scene.heard.items() if position != scene.sealed + 2}
    assert verify(suspect.engine, scene.keyring, heard=heard).problem is None


def test_another_release_may_have_told_nats_in_another_form(suspect: Suspect, scene: Scene):
    another = {"newattribute": "x", "source": "/x"}
    heard = {position: Heard.of(event | another) for position, event in scene.events.items()}
    assert verify(suspect.engine, scene.keyring, heard=heard).problem is None


def test_data_that_was_told_by_reference_is_not_compared_with_nats(suspect: Suspect, scene: Scene):
    named = {name: value for name, value in scene.events[scene.head].items() if name != "data"}
    heard = scene.heard | {scene.head: Heard.of(named | {"dataref": "/v1/events"})}
    assert verify(suspect.engine, scene.keyring, heard=heard).problem is None
