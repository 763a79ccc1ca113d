"""Whoever changes the sealed past is found out: every way that we can think of, on a real database."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.event_tables import SEALS, STORED_EVENTS
from adapters.sealing.keys import SigningKey
from adapters.sealing.verification import verify
from tests.integration.sealing.suspect import ENTRY, Scene, Suspect, edited

EDITED = 5


# --- what is left alone


def test_an_untouched_log_is_found_sound_and_told_how_far_it_is_sealed_and_anchored(suspect: Suspect, scene: Scene):
    report = suspect.verified(heard=True)
    assert report.problem is None
    assert (report.seals, report.sealed, report.anchors, report.anchored) == (2, scene.sealed, 2, scene.sealed)
    assert report.events == scene.head - 2
    assert report.unsealed == report.compared == len(scene.heard) > 3


def test_an_erasure_of_data_and_salt_breaks_no_seal_and_is_told(suspect: Suspect):
    suspect.erase(EDITED)
    report = suspect.verified()
    assert (report.problem, report.erased) == (None, [EDITED])


# --- the sealed past


@pytest.mark.parametrize("column", [column.name for column in STORED_EVENTS.columns])
def test_an_edit_of_any_column_is_found_where_it_was_made(suspect: Suspect, column: str):
    value = edited(STORED_EVENTS.c[column])
    suspect.tamper(f"UPDATE stored_events SET {column} = {value} WHERE notification_id = {EDITED}")
    report = suspect.verified(anchored=False)
    assert report.problem
    assert report.position == EDITED


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE event_salts SET salt = 'another' WHERE position = {EDITED}",
        f"DELETE FROM event_salts WHERE position = {EDITED}",
        f"UPDATE stored_events SET state = '{{}}' WHERE notification_id = {EDITED}",
        f"UPDATE stored_events SET state = 'x', commitment = sha256('saltx') WHERE notification_id = {EDITED}",
        "DELETE FROM stored_events WHERE notification_id = 5",
    ],
)
def test_data_that_its_commitment_does_not_prove_and_a_missing_event_are_found(suspect: Suspect, statement: str):
    suspect.tamper(statement)
    assert suspect.verified(anchored=False).position == EDITED


@pytest.mark.parametrize("which", ["the first", "the last of a seal", "the last of all seals"])
def test_a_missing_event_is_found_at_the_ends_too(suspect: Suspect, scene: Scene, which: str):
    positions = {
        "the first": 1,
        "the last of a seal": scene.anchors[0].last_position,
        "the last of all seals": scene.sealed,
    }
    suspect.tamper(f"DELETE FROM stored_events WHERE notification_id = {positions[which]}")
    assert suspect.verified(anchored=False).position == positions[which]


@pytest.mark.parametrize("place", ["the gap", "the beginning"])
def test_an_added_event_is_found_where_it_is(suspect: Suspect, scene: Scene, place: str):
    position = scene.gap if place == "the gap" else 0
    values = f"SELECT gen_random_uuid(), 1, 'workflow.requested', '{{}}', gen_random_uuid(), {position}"
    suspect.tamper(f"{ENTRY.replace('event_id)', 'event_id, notification_id)')} {values}")
    report = suspect.verified(anchored=False)
    assert (report.position, report.problem) == (position, "it was added after the events around it were sealed")


def test_events_in_another_order_are_found_at_the_first(suspect: Suspect):
    suspect.tamper(
        "UPDATE stored_events SET notification_id = -1 WHERE notification_id = 4",
        "UPDATE stored_events SET notification_id = 4 WHERE notification_id = 6",
        "UPDATE stored_events SET notification_id = 6 WHERE notification_id = -1",
    )
    assert suspect.verified(anchored=False).position == 4


def test_an_edit_is_found_though_the_stored_hash_is_edited_with_it(suspect: Suspect):
    suspect.tamper(
        f"UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = {EDITED}",
        "UPDATE seal_tiles SET hashes = overlay(hashes PLACING sha256('eve') FROM 129) WHERE row = 0",
    )
    report = suspect.verified(anchored=False)
    assert report.position
    assert report.position <= EDITED


# --- seals and anchors


@pytest.mark.parametrize("column", [column.name for column in SEALS.columns])
def test_an_edited_seal_is_found(suspect: Suspect, scene: Scene, column: str):
    suspect.tamper(f"UPDATE seals SET {column} = {edited(SEALS.c[column])} WHERE number = 1")
    assert suspect.verified(anchored=False).position == 1


def test_a_seal_in_the_middle_cannot_be_taken_out(suspect: Suspect):
    suspect.tamper("DELETE FROM seals WHERE number = 1")
    assert suspect.verified(anchored=False).problem == "seal 1 is missing"


def test_a_missing_last_seal_is_found_by_the_tree_that_it_leaves_behind(suspect: Suspect, scene: Scene):
    suspect.tamper("DELETE FROM seals WHERE number = 2")
    assert suspect.verified(anchored=False).position == scene.anchors[0].last_position + 1


def test_seals_of_another_key_are_not_believed(suspect: Suspect, tmp_path: Path):
    suspect.tamper(f"UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = {EDITED}")
    suspect.reseal(tmp_path)
    report = suspect.verified(anchored=False)
    assert report.position == 1
    assert report.problem
    assert "none of the trusted ones" in report.problem


def test_a_history_rewritten_with_the_stolen_key_is_found_by_the_anchors_alone(suspect: Suspect, scene: Scene):
    suspect.tamper(f"UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = {EDITED}")
    suspect.reseal(scene.keys)
    assert suspect.verified(anchored=False).problem is None
    assert suspect.verified().problem == "seal 1 is not the one that was anchored: the log was rewritten"


def test_a_log_that_was_cut_with_its_seals_is_found_by_the_anchors(suspect: Suspect, scene: Scene):
    first = scene.anchors[0]
    suspect.tamper(
        f"DELETE FROM stored_events WHERE notification_id > {first.last_position}",
        "DELETE FROM seals WHERE number > 1",
        f"UPDATE seal_tiles SET hashes = substring(hashes FOR {first.size * 32}) WHERE row = 0",
        f"UPDATE relay SET position = {first.last_position}",
    )
    assert suspect.verified(anchored=False).problem is None
    report = suspect.verified()
    assert report.position == first.last_position + 1
    assert report.problem
    assert "the log was cut, or an older copy restored" in report.problem


def test_a_log_that_was_cut_without_its_seals_is_found_by_them(suspect: Suspect):
    suspect.tamper("DELETE FROM stored_events WHERE notification_id > 3")
    assert suspect.verified(anchored=False).position == 4


def test_an_older_copy_is_found_by_the_anchors_and_by_nats(suspect: Suspect, scene: Scene):
    suspect.become("older")
    assert suspect.verified(anchored=False).problem is None
    assert suspect.verified().position == scene.anchors[0].last_position + 1
    assert suspect.verified(anchored=False, heard=True).position == min(scene.heard)


def test_a_forged_anchor_is_not_believed(suspect: Suspect, scene: Scene, tmp_path: Path):
    forged = scene.anchors[0].signed(SigningKey.kept_in(tmp_path / "key"))
    problem = verify(suspect.engine, scene.keyring, [forged]).problem
    assert problem
    assert problem.startswith("among the anchors, the signature of seal 1")
