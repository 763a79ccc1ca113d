"""A dataset: the pairs as they stood at a position, as the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from eventsourcing.domain import AggregateEvent
from hypothesis import given
from hypothesis import strategies as st

from domain.dataset import Filter, json_lines, rows
from domain.errors import AlreadyDone, Invalid
from domain.events import Recorded
from domain.preference import Preference, Verdict
from tests.builders import NOW, RUN, SHA, a_dataset, a_preference, an_id, recorded, topics

ACTS: list[Callable[[Preference], None]] = [
    lambda preference: preference.annotate(Verdict.ACCEPTED, "", at=NOW),
    lambda preference: preference.annotate(Verdict.FLIPPED, "", at=NOW),
    lambda preference: preference.annotate(Verdict.REJECTED, "", at=NOW),
    lambda preference: preference.revise("Paris, of course.", None, "", at=NOW),
    lambda preference: preference.withdraw("", at=NOW),
]


def history(of: Preference) -> Sequence[AggregateEvent]:
    return of.pending_events  # type: ignore[return-value]


@st.composite
def logs(draw: st.DrawFn) -> list[Recorded]:
    """The events of some preferences, interleaved as they may be in a store."""
    preferences = []
    for n, acts in enumerate(draw(st.lists(st.lists(st.sampled_from(ACTS), max_size=4), max_size=4))):
        preference = a_preference(f"pair {n}", draw(st.floats(0.51, 1)))
        for act in acts:
            if not preference.withdrawn:
                act(preference)
        preferences.append(list(history(preference)))
    order = draw(st.permutations([n for n, events in enumerate(preferences) for _ in events]))
    return recorded(preferences[n].pop(0) for n in order)


FILTERS = st.builds(Filter, st.sampled_from([0.0, 0.5, 1.0]), st.booleans(), st.sampled_from([(), (RUN,)]))


@given(logs(), FILTERS)
def test_the_rows_are_the_aggregates_as_they_stand(log: list[Recorded], filter: Filter) -> None:
    standing: dict[object, Preference] = {}
    for entry in log:
        id = entry.event.originator_id
        standing[id] = entry.event.mutate(standing.get(id))  # type: ignore[assignment]
    expected = {
        id: (preference.pair, preference.verdict)
        for id, preference in standing.items()
        if not preference.withdrawn and preference.verdict is not Verdict.REJECTED
    }
    found = rows(log, filter)
    assert {row.preference_id: (row.pair, row.verdict) for row in rows(log, Filter())} == expected
    assert all(row.weight >= filter.min_weight for row in found)
    assert all(row.verdict for row in found) or not filter.annotated_only


def test_a_pair_comes_in_the_order_in_which_it_was_proposed() -> None:
    one, two = a_preference("one"), a_preference("two")
    one.annotate(Verdict.FLIPPED, "", at=NOW)
    log = recorded([history(one)[0], *history(two), history(one)[1]])
    found = rows(log, Filter())
    assert [(row.preference_id, row.position) for row in found] == [(an_id("one"), 3), (an_id("two"), 2)]


def test_a_filter_takes_pairs_of_named_runs_settled_pairs_or_sure_pairs() -> None:
    elsewhere, by_hand = a_preference("elsewhere", run=an_id("other run")), a_preference("by hand", run=None)
    sure, settled = a_preference("sure", probability=0.99), a_preference("settled")
    settled.annotate(Verdict.ACCEPTED, "", at=NOW)
    log = recorded(event for each in (elsewhere, by_hand, sure, settled) for event in history(each))

    def names(filter: Filter) -> list[str]:
        found = {row.preference_id for row in rows(log, filter)}
        return [name for name in ("elsewhere", "by hand", "sure", "settled") if an_id(name) in found]

    assert names(Filter()) == ["elsewhere", "by hand", "sure", "settled"]
    assert names(Filter(runs=(RUN,))) == ["sure", "settled"]
    assert names(Filter(annotated_only=True)) == ["settled"]
    assert names(Filter(min_weight=0.9)) == ["sure", "settled"]


def test_a_line_holds_trls_columns_and_the_pairs_lineage() -> None:
    (line,) = json_lines(rows(recorded(history(a_preference("pair"))), Filter()))
    assert line.endswith(b"\n")
    row = json.loads(line)
    assert row["prompt"] == [{"role": "user", "content": "Which city?"}]
    assert row["chosen"] == [{"role": "assistant", "content": "Paris, says pair."}]
    assert row["rejected"] == [{"role": "assistant", "content": "Lyon."}]
    assert row["weight"] == 0.5
    assert (row["preference_id"], row["run_id"]) == (str(an_id("pair")), str(RUN))
    assert list(row) == sorted(row)


@pytest.mark.parametrize(
    ("position", "filter"),
    [(10, Filter()), (-1, Filter()), (5, Filter(min_weight=1.1)), (5, Filter(min_weight=float("nan")))],
)
def test_what_cannot_be_built_is_not_requested(position: int, filter: Filter) -> None:
    with pytest.raises(Invalid):
        a_dataset(position=position, head=9, filter=filter)


def test_a_dataset_is_built_once_and_building_it_again_must_give_the_same_bytes() -> None:
    dataset = a_dataset()
    for _ in range(2):
        dataset.built(pairs=3, annotated=1, sha256=SHA, size=100, at=NOW)
    assert topics(dataset) == ["requested", "built"]
    with pytest.raises(AlreadyDone):
        dataset.built(pairs=3, annotated=1, sha256="cd" * 32, size=100, at=NOW)
