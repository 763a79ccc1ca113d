"""The roster: agents.yaml through time."""

from __future__ import annotations

import pytest

from domain.errors import VersionConflict
from domain.roster import ROSTER_ID, AgentRoster
from tests.builders import NOW, an_agent, topics


def a_roster() -> AgentRoster:
    return AgentRoster.begin("ada", "sha of ada", (an_agent("ada"),), "the first", at=NOW)


def test_a_revision_is_the_aggregates_version() -> None:
    roster = a_roster()
    roster.revise("ada, ben", "sha of both", (an_agent("ada"), an_agent("ben")), "ben joins", at=NOW)
    assert roster.id == ROSTER_ID
    assert roster.version == 2
    assert [agent.name for agent in roster.agents] == ["ada", "ben"]
    assert topics(roster) == ["revised", "revised"]


def test_the_same_text_is_no_new_revision() -> None:
    roster = a_roster()
    roster.revise("ada", "sha of ada", (an_agent("ada"),), "saved again", at=NOW)
    assert roster.version == 1


def test_its_history_gives_the_same_roster_again() -> None:
    roster = a_roster()
    roster.revise("ben", "sha of ben", (an_agent("ben"),), "", at=NOW)
    again: AgentRoster | None = None
    for event in roster.pending_events:
        again = event.mutate(again)
    assert again is not None
    assert (again.version, again.agents, again.sha256) == (2, (an_agent("ben"),), "sha of ben")


def test_an_edit_of_an_old_revision_is_refused() -> None:
    roster = a_roster()
    roster.must_be_at(1)
    roster.must_be_at(None)
    with pytest.raises(VersionConflict):
        roster.must_be_at(2)
