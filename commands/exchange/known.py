"""What the log knows of judgments, before they are imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from domain.events import Recorded
from domain.importing import Judgment, Known, stood_as
from domain.ports.events import Beginnings
from domain.preference import Preference

Histories = Callable[[UUID], Sequence[Recorded]]
"""One aggregate's events, in order."""


def known(judgments: Sequence[Judgment], beginnings: Beginnings, history: Histories) -> list[Known]:
    """Of each in turn. A whole history is read only where a pair is named that was not proposed with these texts."""
    asked = {id for judgment in judgments for id in (judgment.id, judgment.known_as) if id}
    events = (recorded.event for recorded in beginnings(asked))
    proposed = {event.originator_id: event for event in events if isinstance(event, Preference.Proposed)}

    def one(judgment: Judgment) -> Known:
        named = proposed.get(judgment.known_as) if judgment.known_as else None
        if judgment.id in proposed or (named and judgment.says(named.pair)):
            return Known.ALL
        if named is None:
            return Known.NOTHING
        stood = stood_as(recorded.event for recorded in history(named.originator_id))
        return Known.ALL if any(map(judgment.says, stood)) else Known.OTHERWISE

    return [one(judgment) for judgment in judgments]
