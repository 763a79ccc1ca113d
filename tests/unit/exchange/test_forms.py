"""What each form of file says: a pair, a tie, or in plain words why there is none."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl import extract_prompt

from adapters.exchange.fields import Unfit
from adapters.exchange.forms import FORMS, form_of
from adapters.exchange.trl import pair
from domain.dataset_recipe import NEWEST_BUILDER, Filter
from domain.dataset_rows import rows
from domain.importing import Judgment, Tie
from domain.model_call import Message
from domain.preference import Preference
from tests.builders import NOW, a_pair, a_preference, an_id, lives, recorded

Raw = dict[str, Any]
ASKED = [{"role": "user", "content": "Which city?"}]
PARIS = [{"role": "assistant", "content": "Paris."}]
LYON = [{"role": "assistant", "content": "Lyon."}]
HH = "\n\nHuman: Which city?\n\nAssistant: "
ALPACA: Raw = {
    "instruction": "Which city?",
    "output_1": "Paris.",
    "generator_1": "one",
    "output_2": "Lyon.",
    "generator_2": "two",
    "annotator": "gpt4",
    "preference": 1.0,
}
FEEDBACK: Raw = {
    "instruction": "Which city?",
    "completions": [
        {"model": "b", "response": "Lyon.", "overall_score": 3.0},
        {"model": "a", "response": "Paris.", "overall_score": 8.5},
        {"model": "c", "response": "Nice.", "overall_score": 5},
    ],
}
OWN: Raw = {
    "prompt": ASKED,
    "chosen": PARIS,
    "rejected": LYON,
    "preference_id": str(an_id("elsewhere")),
    "weight": 0.5,
    "method": "bradley-terry/1",
}
SAME_PAIR: dict[str, tuple[str, Raw]] = {
    "our own": ("caravan", OWN),
    "the first output": ("alpaca-eval", ALPACA),
    "the second output": ("alpaca-eval", ALPACA | {"output_1": "Lyon.", "output_2": "Paris.", "preference": 2.0}),
    "scored completions": ("ultrafeedback", FEEDBACK),
    "binarized": (
        "ultrafeedback",
        {
            "prompt": "Which city?",
            "chosen": ASKED + PARIS,
            "rejected": ASKED + LYON,
            "score_chosen": 9,
            "score_rejected": 3.5,
        },
    ),
    "transcripts": ("hh", {"chosen": HH + "Paris.", "rejected": HH + "Lyon."}),
    "explicit conversations": ("trl", {"prompt": ASKED, "chosen": PARIS, "rejected": LYON}),
    "implicit conversations": ("trl", {"chosen": ASKED + PARIS, "rejected": ASKED + LYON}),
    "a prompt that is repeated": ("trl", {"prompt": "Which city?", "chosen": ASKED + PARIS, "rejected": ASKED + LYON}),
    "explicit texts": ("trl", {"prompt": "Which city?", "chosen": "Paris.", "rejected": "Lyon."}),
}


def read(raw: Raw) -> Judgment | Tie:
    form = form_of(raw)
    assert form
    return form.read(raw)


@pytest.mark.parametrize("name", SAME_PAIR)
def test_one_judgment_in_every_form_is_one_pair(name: str) -> None:
    form, raw = SAME_PAIR[name]
    judgment = read(raw)
    assert form_of(raw) is FORMS[form]
    assert isinstance(judgment, Judgment)
    assert judgment.pair.prompt == (Message("user", "Which city?"),)
    assert judgment.pair.chosen.messages == (Message("assistant", "Paris."),)
    assert judgment.pair.rejected.messages == (Message("assistant", "Lyon."),)


def test_a_judge_and_the_models_are_known_by_the_names_in_the_file() -> None:
    judgment = read(ALPACA | {"preference": 2.0})
    assert isinstance(judgment, Judgment)
    assert (judgment.annotator, judgment.probability) == ("gpt4", 1.0)
    assert (judgment.pair.chosen.agent, judgment.pair.rejected.agent) == ("two", "one")


def test_a_margin_is_the_difference_of_the_scores() -> None:
    judgment = read(FEEDBACK)
    assert isinstance(judgment, Judgment)
    assert (judgment.margin, judgment.probability) == (5.5, 1.0)
    assert (judgment.pair.chosen.agent, judgment.pair.rejected.agent) == ("a", "b")


def test_a_weighted_annotator_is_as_sure_as_it_says() -> None:
    judgment = read(ALPACA | {"preference": 1.75})
    assert isinstance(judgment, Judgment)
    assert judgment.probability == 0.75
    assert judgment.pair.chosen.messages[0].content == "Lyon."


@pytest.mark.parametrize(
    "raw",
    [
        ALPACA | {"preference": 0.0},
        ALPACA | {"preference": 1.5},
        {"instruction": "?", "completions": [{"response": text, "overall_score": 4.0} for text in "ab"]},
        {"prompt": "?", "chosen": "a", "rejected": "b", "score_chosen": 4, "score_rejected": 4},
    ],
)
def test_a_tie_makes_no_pair_and_is_no_fault(raw: Raw) -> None:
    assert read(raw) == Tie()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (ALPACA | {"preference": None}, "preference is null"),
        (ALPACA | {"preference": True}, "preference is no number but true or false"),
        (ALPACA | {"preference": float("nan")}, "preference is nan"),
        (ALPACA | {"preference": 3}, "preference is 3; it must be 0, or from 1 to 2"),
        (ALPACA | {"output_2": ""}, "rejected is empty"),
        (ALPACA | {"output_2": "Paris."}, "chosen and rejected are the same answer"),
        (ALPACA | {"output_1": "a\0b"}, "output_1 holds the character U+0000"),
        (ALPACA | {"output_1": "\ud800"}, "output_1 holds the character U+D800"),
        (ALPACA | {"output_1": "\x1b[2J"}, "output_1 holds the character U+001B"),
        (ALPACA | {"output_1": ["x"]}, "output_1 is no text but a list"),
        (ALPACA | {"generator_1": "x" * 201}, "generator_1 has 201 characters"),
        (OWN | {"weight": 0}, "weight is 0"),
        (OWN | {"preference_id": "1"}, "preference_id is no id"),
        ({"prompt": None, "chosen": "a", "rejected": "b"}, "prompt is null"),
        (
            {"prompt": ASKED, "chosen": "a", "rejected": "b"},
            "prompt is a conversation, but chosen and rejected are not",
        ),
        ({"prompt": ASKED, "chosen": "a", "rejected": LYON}, "one is a conversation and the other is not"),
        ({"prompt": ASKED, "chosen": ASKED, "rejected": LYON}, "chosen must end with what the assistant says"),
        ({"prompt": [], "chosen": PARIS, "rejected": LYON}, "prompt is empty"),
        ({"chosen": PARIS, "rejected": LYON}, "do not begin with the same message"),
        ({"chosen": "Paris.", "rejected": "Lyon."}, "do not begin with the same text"),
        ({"prompt": ASKED, "chosen": [{"role": "root", "content": "x"}], "rejected": LYON}, "chosen[0].role is 'root'"),
        ({"prompt": ASKED, "chosen": ["Paris."], "rejected": LYON}, "chosen[0] is no message but text"),
        ({"prompt": ASKED, "chosen": [PARIS[0] | {"tool_calls": [1]}], "rejected": LYON}, "more than role and content"),
        (
            {"prompt": "?", "chosen": "a", "rejected": "b", "score_chosen": 1, "score_rejected": 2},
            "contradict the columns",
        ),
        (FEEDBACK | {"completions": FEEDBACK["completions"][:1]}, "fewer than two answers"),
        (FEEDBACK | {"completions": [{"response": "x"}]}, "completions[0].overall_score is missing"),
        ({"chosen": HH + "Paris.", "rejected": HH.replace("Which", "What") + "Lyon."}, "the same message"),
    ],
)
def test_what_makes_no_pair_is_told_in_plain_words(raw: Raw, why: str) -> None:
    with pytest.raises(Unfit, match=re.escape(why)):
        read(raw)


def test_a_dialogue_may_part_early() -> None:
    judgment = read(
        {
            "chosen": HH + "Paris.\n\nHuman: Thanks\n\nAssistant: Bye",
            "rejected": HH + "Lyon.\n\nHuman: Hm\n\nAssistant: ?",
        }
    )
    assert isinstance(judgment, Judgment)
    assert [message.role for message in judgment.pair.chosen.messages] == ["assistant", "user", "assistant"]
    assert judgment.pair.prompt == (Message("user", "Which city?"),)


def test_nothing_else_is_recognised() -> None:
    assert form_of({"text": "?", "label": 1}) is None
    assert form_of({"chosen": 1, "rejected": "x"}) is None


TEXTS = st.text(st.sampled_from("ab "), min_size=1, max_size=6)
TURNS = st.lists(
    st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "assistant"]), TEXTS),
    min_size=1,
    max_size=5,
)


@given(TEXTS, TEXTS, TEXTS)
def test_the_prompt_of_plain_texts_is_trls(shared: str, one: str, other: str) -> None:
    row = {"chosen": shared + one, "rejected": shared + other}
    expected = extract_prompt(row)
    if not expected["prompt"]:
        return
    found = pair(row)
    assert [part[0].content for part in (found.prompt, found.chosen.messages, found.rejected.messages)] == [
        expected[column] for column in ("prompt", "chosen", "rejected")
    ]


@given(TURNS, TURNS, TURNS)
def test_the_prompt_of_conversations_is_trls(shared: list[Raw], one: list[Raw], other: list[Raw]) -> None:
    row = {"chosen": shared + one, "rejected": shared + other}
    expected, found = extract_prompt(row), pair(row)
    for part, column in (
        (found.prompt, "prompt"),
        (found.chosen.messages, "chosen"),
        (found.rejected.messages, "rejected"),
    ):
        assert [{"role": message.role, "content": message.content} for message in part] == expected[column]


@given(st.floats(0.51, 1))
def test_our_own_export_comes_back_as_it_was(probability: float) -> None:
    proposed = a_preference("pair", probability)
    (row,) = rows(lives(recorded(proposed.pending_events)), Filter())  # type: ignore[arg-type]
    judgment = read(json.loads(row.line(NEWEST_BUILDER)))
    assert isinstance(judgment, Judgment)
    assert judgment.known_as == proposed.id
    assert judgment.pair.prompt == proposed.pair.prompt
    assert judgment.pair.chosen.messages == proposed.pair.chosen.messages
    again = Preference.propose(
        judgment.id, judgment.pair, judgment.probability, 0.0, "imported/caravan/1", None, at=NOW
    )
    (imported,) = rows(lives(recorded(again.pending_events)), Filter())  # type: ignore[arg-type]
    assert imported.weight == pytest.approx(row.weight)


def test_an_id_follows_from_the_texts_and_the_annotator() -> None:
    one = Judgment(a_pair())
    assert one.id == Judgment(a_pair(), probability=0.7, known_as=an_id("x")).id
    assert len({one.id, Judgment(a_pair(), annotator="gpt4").id, Judgment(a_pair("x", "y")).id}) == 3
