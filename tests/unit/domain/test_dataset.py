"""A dataset: the pairs as they stood at a position, as the same bytes each time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from eventsourcing.domain import AggregateEvent
from hypothesis import given
from hypothesis import strategies as st

from domain.dataset_contents import PartFile
from domain.dataset_recipe import EARLIEST_BUILDER, NEWEST_BUILDER, Filter, Holdout, Part, Recipe
from domain.dataset_rows import rows
from domain.errors import AlreadyDone, Invalid
from domain.events import Recorded
from domain.preference import Preference, Verdict
from tests.builders import NOW, RUN, a_dataset, a_preference, an_id, contents, lives, recorded, topics

ACTS: list[Callable[[Preference], None]] = [
    lambda preference: preference.annotate(Verdict.ACCEPTED, "", at=NOW),
    lambda preference: preference.annotate(Verdict.FLIPPED, "", at=NOW),
    lambda preference: preference.annotate(Verdict.REJECTED, "", at=NOW),
    lambda preference: preference.revise("Paris, of course.", None, "", at=NOW),
    lambda preference: preference.withdraw("", at=NOW),
    lambda preference: preference.annotate(Verdict.ACCEPTED, "", NOW, "ada", wanted=2),
    lambda preference: preference.annotate(Verdict.FLIPPED, "", NOW, "ben", wanted=2),
    lambda preference: preference.revise("Paris, says ada.", None, "", NOW, "ada"),
    lambda preference: preference.skip("ada", "", NOW),
    lambda preference: preference.remark("ben", "look again", NOW),
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
                with suppress(Invalid):  # an edit to what it is
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
    found = list(rows(lives(log), filter))
    assert {row.preference_id: (row.pair, row.verdict) for row in rows(lives(log), Filter())} == expected
    assert all(row.weight >= filter.min_weight for row in found)
    assert all(row.verdict for row in found) or not filter.annotated_only


def test_a_pair_comes_in_the_order_in_which_it_was_proposed() -> None:
    one, two = a_preference("one"), a_preference("two")
    one.annotate(Verdict.FLIPPED, "", at=NOW)
    log = recorded([history(one)[0], *history(two), history(one)[1]])
    found = rows(lives(log), Filter())
    assert [(row.preference_id, row.position) for row in found] == [(an_id("one"), 3), (an_id("two"), 2)]


def test_a_filter_takes_pairs_of_named_runs_settled_pairs_or_sure_pairs() -> None:
    elsewhere, by_hand = a_preference("elsewhere", run=an_id("other run")), a_preference("by hand", run=None)
    sure, settled = a_preference("sure", probability=0.99), a_preference("settled")
    settled.annotate(Verdict.ACCEPTED, "", at=NOW)
    log = recorded(event for each in (elsewhere, by_hand, sure, settled) for event in history(each))

    def names(filter: Filter) -> list[str]:
        found = {row.preference_id for row in rows(lives(log), filter)}
        return [name for name in ("elsewhere", "by hand", "sure", "settled") if an_id(name) in found]

    assert names(Filter()) == ["elsewhere", "by hand", "sure", "settled"]
    assert names(Filter(runs=(RUN,))) == ["sure", "settled"]
    assert names(Filter(annotated_only=True)) == ["settled"]
    assert names(Filter(min_weight=0.9)) == ["sure", "settled"]
    assert names(Filter(annotators=("somebody",))) == ["settled"]
    assert names(Filter(verdicts=(Verdict.FLIPPED,))) == []
    assert names(Filter(methods=("bradley-terry/1",), chosen_agents=("ada",), rejected_agents=("ada",))) == []
    assert names(Filter(since=NOW)) == ["elsewhere", "by hand", "sure", "settled"]
    assert names(Filter(until=NOW)) == []


def test_a_line_holds_trls_columns_and_the_pairs_lineage() -> None:
    (row_of_pair,) = rows(lives(recorded(history(a_preference("pair")))), Filter())
    line = row_of_pair.line(NEWEST_BUILDER)
    assert line.endswith(b"\n")
    row = json.loads(line)
    assert row["prompt"] == [{"role": "user", "content": "Which city?"}]
    assert row["chosen"] == [{"role": "assistant", "content": "Paris, says pair."}]
    assert row["rejected"] == [{"role": "assistant", "content": "Lyon."}]
    assert row["weight"] == 0.5
    assert (row["preference_id"], row["run_id"]) == (str(an_id("pair")), str(RUN))
    assert (row["chosen_agent"], row["rejected_agent"]) == ("ada", "ben")
    assert list(row) == sorted(row)


@given(st.text(st.characters(codec="utf-8")), st.text(), st.floats(0.5, 1, exclude_min=True), st.booleans())
def test_a_line_is_the_canonical_json_of_what_it_says(text: str, name: str, probability: float, by_hand: bool) -> None:
    preference = a_preference(name, probability, run=None if by_hand else RUN)
    preference.revise(text + ".", None, "", at=NOW)
    (row_of_pair,) = rows(lives(recorded(history(preference))), Filter())
    for builder in (EARLIEST_BUILDER, NEWEST_BUILDER):
        line = row_of_pair.line(builder)
        again = json.dumps(json.loads(line), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        assert line == again.encode() + b"\n"
        assert json.loads(line)["chosen"] == [{"role": "assistant", "content": text + "."}]
        assert json.loads(line)["probability"] == probability


def test_an_earlier_builder_writes_what_it_wrote() -> None:
    (row_of_pair,) = rows(lives(recorded(history(a_preference("pair")))), Filter())
    before, now = (json.loads(row_of_pair.line(builder)) for builder in (EARLIEST_BUILDER, NEWEST_BUILDER))
    assert {name: value for name, value in now.items() if not name.endswith("_agent")} == before


@pytest.mark.parametrize(
    ("position", "filter"),
    [
        (10, Filter()),
        (-1, Filter()),
        (5, Filter(min_weight=1.1)),
        (5, Filter(min_weight=float("nan"))),
        (5, Filter(verdicts=(Verdict.REJECTED,))),
        (5, Filter(since=NOW, until=NOW)),
        (5, Filter(since=NOW.replace(tzinfo=None))),
    ],
)
def test_what_cannot_be_built_is_not_requested(position: int, filter: Filter) -> None:
    with pytest.raises(Invalid):
        a_dataset(position=position, head=9, filter=filter)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(builder="pairs/0"),
        Recipe(parts=(Part("train", 10),)),
        Recipe(parts=(Part("../up", 10),)),
        Recipe(parts=(Part("all", 10),)),
        Recipe(parts=(Part("test", 0),)),
        Recipe(parts=(Part("test", 60), Part("validation", 40))),
        Recipe(parts=(Part("test", 10), Part("test", 10))),
        Recipe(holdouts=(Holdout("none", ()),)),
        Recipe(holdouts=(Holdout("silent", ("Why?", " ")),)),
        Recipe(holdouts=(Holdout("endless", ("why " * 300_000,)),)),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(recipe: Recipe) -> None:
    with pytest.raises(Invalid):
        a_dataset(recipe=recipe)


@given(st.binary(min_size=1), st.text(max_size=3), st.floats(1, 40), st.floats(1, 40))
def test_a_part_keeps_its_prompts_when_it_grows(prompt: bytes, salt: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    if Recipe(parts=(Part("test", small),), salt=salt).part_of(prompt) == "test":
        assert Recipe(parts=(Part("test", large),), salt=salt).part_of(prompt) == "test"


def test_parts_are_about_as_large_as_was_asked_for() -> None:
    recipe = Recipe(parts=(Part("test", 10), Part("validation", 20)))
    found = Counter(recipe.part_of(str(n).encode()) for n in range(10_000))
    assert 900 < found["test"] < 1100
    assert 1900 < found["validation"] < 2100


def test_a_dataset_is_built_once_and_building_it_again_must_give_the_same_bytes() -> None:
    dataset = a_dataset()
    for _ in range(2):
        dataset.built(contents(), at=NOW)
    assert topics(dataset) == ["requested", "built"]
    with pytest.raises(AlreadyDone, match="other bytes in train"):
        dataset.built(contents(PartFile("train", 3, 1, "cd" * 32, 100)), at=NOW)
