"""A preference: proposed once, judged as often as people like; nothing that was said is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import AlreadyDone, Invalid
from domain.model_call import Message
from domain.preference import Completion, Preference, Verdict, weight
from tests.builders import NOW, a_completion, a_pair, a_preference, an_id, topics

OPINIONS = st.lists(st.sampled_from([Verdict.ACCEPTED, Verdict.FLIPPED, Verdict.REJECTED]))


def propose(pair: object = None, probability: float = 0.8) -> Preference:
    return Preference.propose(an_id("p"), pair or a_pair(), probability, 1.4, "by-hand/1", None, at=NOW)  # type: ignore[arg-type]


def test_a_flip_swaps_chosen_and_rejected_and_accepting_swaps_them_back() -> None:
    preference = a_preference()
    proposed = preference.pair
    preference.annotate(Verdict.FLIPPED, "the other is right", at=NOW)
    assert (preference.pair.chosen, preference.pair.rejected) == (proposed.rejected, proposed.chosen)
    preference.annotate(Verdict.ACCEPTED, "", at=NOW)
    assert preference.pair == proposed


@given(OPINIONS)
def test_any_order_of_verdicts_leaves_the_history_complete_and_the_last_one_counting(opinions: list[Verdict]) -> None:
    preference = a_preference()
    for n, verdict in enumerate(opinions):
        preference.annotate(verdict, f"opinion {n}", at=NOW)
    said = [event for event in preference.pending_events if isinstance(event, Preference.Annotated)]
    assert [(event.verdict, event.note) for event in said] == [(v, f"opinion {n}") for n, v in enumerate(opinions)]
    if opinions:
        assert preference.verdict is opinions[-1]
        assert preference.pair == preference.proposed.under(opinions[-1])


def test_a_second_annotator_who_agrees_is_heard_too() -> None:
    preference = a_preference()
    preference.annotate(Verdict.ACCEPTED, "Ada's", at=NOW)
    preference.annotate(Verdict.ACCEPTED, "Ben's", at=NOW)
    assert topics(preference) == ["proposed", "annotated", "annotated"]


def test_an_edit_rewrites_the_last_message_and_keeps_who_wrote_it() -> None:
    preference = a_preference()
    before = preference.pair
    preference.revise("Paris, on the Seine.", None, "more", at=NOW)
    assert preference.verdict is Verdict.EDITED
    assert preference.pair.chosen.messages[-1] == Message("assistant", "Paris, on the Seine.")
    assert preference.pair.chosen.agent == before.chosen.agent
    assert preference.pair.rejected == before.rejected


def test_an_edit_of_a_flipped_pair_keeps_the_flip() -> None:
    preference = a_preference()
    preference.annotate(Verdict.FLIPPED, "", at=NOW)
    preference.revise("Lyon, on the Rhône.", "Paris?", "", at=NOW)
    assert preference.pair.chosen.agent == "ben"
    assert preference.pair.rejected.messages[-1].content == "Paris?"


def test_an_opinion_after_an_edit_is_on_the_pair_as_proposed() -> None:
    preference = a_preference()
    preference.revise("Paris!", None, "", at=NOW)
    preference.annotate(Verdict.ACCEPTED, "the agents' own words, please", at=NOW)
    assert preference.pair == preference.proposed


def test_an_edit_that_changes_no_letter_is_refused_rather_than_its_note_dropped() -> None:
    preference = a_preference()
    with pytest.raises(Invalid, match="accept the pair"):
        preference.revise(preference.pair.chosen.messages[-1].content, None, "see the note", at=NOW)
    assert topics(preference) == ["proposed"]


@pytest.mark.parametrize(("chosen", "rejected"), [("Lyon.", None), ("same", "same"), (" ", None), ("Paris.", "\n")])
def test_an_edit_that_leaves_no_preference_is_refused(chosen: str, rejected: str | None) -> None:
    preference = propose()
    with pytest.raises(Invalid):
        preference.revise(chosen, rejected, "", at=NOW)


def test_edited_is_no_opinion_without_the_new_words() -> None:
    with pytest.raises(Invalid):
        a_preference().annotate(Verdict.EDITED, "", at=NOW)


def test_a_withdrawn_preference_takes_no_more_opinions_and_is_withdrawn_once() -> None:
    preference = a_preference()
    preference.withdraw("private", at=NOW)
    preference.withdraw("again", at=NOW)
    with pytest.raises(AlreadyDone):
        preference.annotate(Verdict.ACCEPTED, "", at=NOW)
    with pytest.raises(AlreadyDone):
        preference.revise("Paris!", None, "", at=NOW)
    assert topics(preference) == ["proposed", "withdrawn"]


@given(st.floats().filter(lambda p: not 0.5 < p <= 1))
def test_a_probability_that_prefers_nothing_is_refused(probability: float) -> None:
    with pytest.raises(Invalid):
        propose(probability=probability)


@pytest.mark.parametrize(
    "pair",
    [
        a_pair("Paris.", "Paris."),
        a_pair("Paris.", " "),
        a_pair("", "Lyon."),
        replace(a_pair(), prompt=()),
        replace(a_pair(), prompt=(Message("user", "\t"),)),
        replace(a_pair(), rejected=Completion(())),
        replace(a_pair(), chosen=Completion((Message("user", "Paris?"),))),
    ],
)
def test_two_answers_that_do_not_differ_or_say_nothing_are_no_pair(pair: object) -> None:
    with pytest.raises(Invalid):
        propose(pair)


def test_a_completion_of_several_turns_changes_in_its_last_message_alone() -> None:
    turns = (Message("assistant", "Paris."), Message("user", "And its river?"), Message("assistant", "The Seine."))
    changed = Completion(turns, "ada").ending_with("The Rhône.")
    assert changed.messages == (*turns[:2], Message("assistant", "The Rhône."))


@given(st.floats(0.5, 1, exclude_min=True))
def test_a_pair_weighs_as_much_as_it_is_sure_and_all_of_it_once_somebody_settled_it(probability: float) -> None:
    assert 0 < weight(probability, None) <= 1
    assert weight(probability, Verdict.ACCEPTED) == 1


def test_a_pair_by_hand_needs_no_agent() -> None:
    by_hand = replace(a_pair(), chosen=a_completion("Paris."), rejected=a_completion("Lyon."))
    assert propose(by_hand).pair == by_hand
