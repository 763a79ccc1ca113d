"""What several people say of one pair, and what follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import AlreadyDone, Invalid
from domain.opinion import Opinion, Scores, Standing, majority, settle
from domain.preference import Preference, Source, Verdict
from tests.builders import NOW, a_pair, a_preference, an_id, topics

A, F, R = Verdict.ACCEPTED, Verdict.FLIPPED, Verdict.REJECTED
CHOICES = st.sampled_from([A, F, R])


def said(**choices: Verdict) -> list[Opinion]:
    """By annotator."""
    return [Opinion(annotator, choice, choice) for annotator, choice in choices.items()]


def judged(*choices: Verdict, wanted: int = 1) -> Preference:
    """By as many annotators: a0, a1, ..."""
    preference = a_preference()
    for n, choice in enumerate(choices):
        preference.annotate(choice, "", NOW, f"a{n}", wanted=wanted)
    return preference


@pytest.mark.parametrize(
    ("choices", "wanted", "state", "verdict"),
    [
        ([], 1, Standing.WAITING, None),
        ([A], 1, Standing.SETTLED, A),
        ([R], 1, Standing.REJECTED, R),
        ([A], 2, Standing.WAITING, None),
        ([A, A], 2, Standing.SETTLED, A),
        ([A, F], 1, Standing.DISPUTED, None),
        ([A, F], 3, Standing.DISPUTED, None),
        ([A, F, F], 3, Standing.SETTLED, F),
        ([A, F, R], 3, Standing.DISPUTED, None),
        ([A, A], 3, Standing.WAITING, None),
        ([A, A, F, F], 2, Standing.DISPUTED, None),
        ([A, A, F, F, R], 2, Standing.DISPUTED, None),
        ([A, A, F, F, F], 2, Standing.SETTLED, F),
    ],
)
def test_most_must_agree_and_as_many_as_are_wanted_must_have_spoken(choices, wanted, state, verdict) -> None:
    found = judged(*choices, wanted=wanted).consensus
    assert (found.state, found.verdict) == (state, verdict)
    assert found.by == tuple(f"a{n}" for n in range(len(choices)))


@given(st.dictionaries(st.sampled_from("abcdef"), CHOICES), st.integers(1, 4), st.randoms(use_true_random=False))
def test_whoever_speaks_first_decides_no_more_than_whoever_speaks_last(choices, wanted, chance) -> None:
    opinions = said(**choices)
    shuffled = opinions[:]
    chance.shuffle(shuffled)
    (one, one_pair), (other, other_pair) = (settle(a_pair(), each, wanted) for each in (opinions, shuffled))
    assert (one.state, one.verdict, one.choice, one_pair) == (other.state, other.verdict, other.choice, other_pair)
    assert set(one.by) == set(other.by) == set(choices)


@given(st.lists(st.tuples(st.sampled_from("abc"), CHOICES), max_size=6), st.sampled_from("abc"), CHOICES)
def test_taking_the_latest_word_back_restores_what_was_before_it(before, annotator, choice) -> None:
    preference = a_preference()
    for name, each in before:
        preference.annotate(each, "", NOW, name, wanted=2)
    was, pair, spoken = preference.consensus, preference.pair, preference.said
    preference.annotate(choice, "", NOW, annotator, wanted=2)
    preference.undo(annotator, "the wrong key", NOW)
    assert (preference.said, preference.pair) == (spoken, pair)
    assert (preference.consensus.state, preference.consensus.by) == (was.state, was.by)
    assert topics(preference)[-2:] == ["annotated", "undone"]


def test_only_ones_own_word_can_be_taken_back_and_only_while_there_is_one() -> None:
    preference = judged(A)
    with pytest.raises(AlreadyDone):
        preference.undo("somebody else", "", NOW)
    preference.undo("a0", "", NOW)
    with pytest.raises(AlreadyDone):
        preference.undo("a0", "", NOW)
    assert preference.consensus.state is Standing.WAITING


def test_a_dispute_is_settled_by_a_third_person_and_opened_again_when_they_take_it_back() -> None:
    preference = judged(A, F, F)
    assert (preference.verdict, preference.pair) == (F, preference.proposed.under(F))
    preference.undo("a2", "", NOW)
    assert (preference.consensus.state, preference.pair) == (Standing.DISPUTED, preference.proposed)


def test_an_edit_speaks_for_the_answer_that_it_rewrites_and_its_words_count_with_the_majority() -> None:
    preference = judged(F)
    preference.revise("Lyon, on the Rhône.", None, "", NOW, "editor")
    assert (preference.verdict, preference.consensus.choice) == (Verdict.EDITED, F)
    assert preference.pair.chosen.messages[-1].content == "Lyon, on the Rhône."
    for name in ("b", "c", "d"):
        preference.annotate(A, "", NOW, name)
    assert (preference.verdict, preference.pair) == (A, preference.proposed)


def test_where_people_disagree_an_edit_changes_words_and_not_what_its_author_said() -> None:
    preference = judged(A, F)
    preference.revise("Lyon, on the Rhône.", None, "", NOW, "a1")
    assert preference.consensus.state is Standing.DISPUTED
    preference.revise("Lyon, at the Rhône.", None, "", NOW, "a1")
    preference.annotate(F, "", NOW, "a2")
    assert (preference.verdict, preference.consensus.choice) == (Verdict.EDITED, F)
    answers = (preference.pair.chosen, preference.pair.rejected)
    assert [answer.messages[-1].content for answer in answers] == ["Lyon, at the Rhône.", "Paris, says preference."]
    assert preference.pair.chosen.step == preference.proposed.rejected.step


def test_where_most_find_neither_fit_an_edit_does_not_change_its_authors_side_either() -> None:
    preference = judged(R, R, F)
    preference.revise("Lyon, on the Rhône.", None, "", NOW, "a2")
    revised = preference.pending_events[-1]
    assert isinstance(revised, Preference.Revised)
    assert (revised.choice, preference.consensus.choice) == (F, R)


def test_the_words_of_an_edit_that_is_outvoted_are_kept_all_the_same() -> None:
    preference = judged(F, F, F)
    preference.annotate(A, "", NOW, "editor")
    preference.revise("Lyon!", None, "", NOW, "editor")
    preference.undo("a0", "", NOW)
    revised = next(event for event in preference.pending_events if isinstance(event, Preference.Revised))
    assert revised.pair.chosen.messages[-1].content == "Lyon!"
    assert revised.choice is F


def test_a_word_of_before_it_was_told_who_spoke_gives_way_to_the_next_one() -> None:
    preference = a_preference()
    preference.annotate(F, "", NOW)
    preference.annotate(A, "", NOW, "ada")
    assert (preference.consensus.state, preference.consensus.by) == (Standing.SETTLED, ("ada",))


def test_a_pair_is_skipped_once_until_it_is_assigned_and_judging_it_fulfils_that() -> None:
    preference = a_preference()
    preference.skip("ada", "I wrote it", NOW)
    preference.skip("ada", "again", NOW)
    assert (preference.skipped_by, topics(preference)) == ({"ada"}, ["proposed", "skipped"])
    preference.assign("ada", NOW)
    preference.assign("ada", NOW)
    assert (preference.skipped_by, preference.assigned_to) == (set(), {"ada"})
    preference.annotate(A, "", NOW, "ada")
    preference.unassign("ada", NOW)
    assert preference.assigned_to == set()
    assert topics(preference) == ["proposed", "skipped", "assigned", "annotated"]


def test_nobody_is_assigned_a_pair_that_is_in_no_queue() -> None:
    source = Source(an_id("import"), "ab" * 32, 1, None)
    imported = Preference.propose(an_id("p"), a_pair(), 0.8, 1.0, "imported/trl/1", None, at=NOW, source=source)
    for preference, state in ((judged(A), "settled"), (judged(R), "rejected"), (imported, "imported")):
        with pytest.raises(AlreadyDone, match=state):
            preference.assign("ada", NOW)
    imported.annotate(A, "", NOW, "ben", wanted=2)
    for preference in (imported, judged(A, F), judged(A, wanted=2)):
        preference.assign("ada", NOW)
        assert preference.assigned_to == {"ada"}


def test_a_note_decides_nothing_and_says_something() -> None:
    preference = judged(A)
    preference.remark("ben", "look again", NOW)
    assert preference.consensus.by == ("a0",)
    with pytest.raises(Invalid):
        preference.remark("ben", " \n", NOW)


def test_of_a_withdrawn_pair_nobody_is_asked_and_notes_are_still_taken() -> None:
    preference = judged(A)
    preference.withdraw("", NOW)
    for act in (
        lambda: preference.undo("a0", "", NOW),
        lambda: preference.skip("ada", "", NOW),
        lambda: preference.assign("ada", NOW),
    ):
        with pytest.raises(AlreadyDone):
            act()
    preference.remark("ada", "why?", NOW)


def test_ratings_are_kept_with_the_opinion() -> None:
    preference = a_preference()
    preference.annotate(A, "", NOW, "ada", Scores(3, {"truth": 2}))
    assert preference.said[-1].scores == Scores(3, {"truth": 2})


@given(st.lists(CHOICES))
def test_a_majority_is_more_than_half(choices: list[Verdict]) -> None:
    found = majority(choices)
    assert found is None or choices.count(found) * 2 > len(choices)
    assert found is not None or all(choices.count(each) * 2 <= len(choices) for each in choices)
