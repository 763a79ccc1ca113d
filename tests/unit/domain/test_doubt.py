"""Which pairs people must settle, and which they see first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.doubt import SURE, Support, in_doubt, reasons, urgency
from domain.opinion import Standing
from domain.ranking import Ballot, Outcome, RankedPair, support
from tests.builders import an_id

SUPPORTS = st.builds(Support, *[st.integers(0, 9)] * 4)
PROBABILITIES = st.floats(0.5, 1, exclude_min=True)


@pytest.mark.parametrize(
    ("probability", "found", "doubtful"),
    [
        (SURE, None, False),
        (SURE - 0.01, None, True),
        (0.9, Support(2, 1, 0, 0), False),
        (0.9, Support(1, 1, 0, 0), True),
        (0.9, Support(3, 2, 5, 0), True),
        (0.9, Support(0, 0, 4, 0), False),
    ],
)
def test_people_must_settle_what_is_near_a_coin_toss_or_what_judges_contradict(probability, found, doubtful) -> None:
    assert in_doubt(probability, found) is doubtful


@given(PROBABILITIES, st.none() | SUPPORTS, PROBABILITIES, st.none() | SUPPORTS)
def test_disputes_come_before_doubts_and_doubts_before_the_rest(one, its, other, others) -> None:
    disputed = urgency(Standing.DISPUTED, one, its, False)
    doubtful = urgency(Standing.WAITING, other, others, True)
    assert disputed >= 2 > doubtful >= 1 > urgency(Standing.WAITING, one, its, False) >= 0
    assert urgency(Standing.SETTLED, one, its, True) == 0


@given(PROBABILITIES, PROBABILITIES, st.integers(0, 9))
def test_the_less_sure_and_the_further_reaching_come_first(one: float, other: float, touching: int) -> None:
    less, more = sorted((one, other))
    alike = Support(1, 0, 0, touching)
    assert urgency(Standing.WAITING, less, alike, False) >= urgency(Standing.WAITING, more, alike, False)
    reaching = Support(1, 0, 0, touching + 1)
    assert urgency(Standing.WAITING, one, reaching, False) >= urgency(Standing.WAITING, one, alike, False)


def test_the_reasons_are_told_in_words_that_give_nobody_away() -> None:
    told = reasons(Standing.DISPUTED, 0.8, 0.2, Support(1, 2, 1, 3), 2, 1)
    assert told == [
        "the 2 who judged it disagree",
        "2 of 3 judges disagree",
        "1 judge sees no difference",
        "the ballots are 80% sure",
        "margin 0.20",
        "3 further pairs share an answer",
    ]
    assert reasons(Standing.WAITING, 1.0, 0.0, None, 1, 3) == ["1 of 3 have judged it"]


def test_a_judge_counts_once_by_most_of_its_ballots_on_just_these_two() -> None:
    one, other, third = an_id("one"), an_id("other"), an_id("third")

    def ballot(judge: str, first: object, second: object, outcome: Outcome) -> Ballot:
        return Ballot(an_id("b"), judge, "verdict/1", first, second, outcome, ())  # type: ignore[arg-type]

    ballots = [
        ballot("ada", one, other, Outcome.FIRST),
        ballot("ada", other, one, Outcome.SECOND),
        ballot("ben", other, one, Outcome.FIRST),
        ballot("cyd", one, other, Outcome.FIRST),
        ballot("cyd", other, one, Outcome.FIRST),
        ballot("dan", one, other, Outcome.UNPARSEABLE),
        ballot("eve", one, third, Outcome.FIRST),
        ballot("fay", one, other, Outcome.TIE),
    ]
    pair, beside = RankedPair(one, other, 1.0, 0.8, ()), RankedPair(one, third, 1.0, 0.8, ())
    assert support(pair, [pair, beside], ballots) == Support(agree=1, against=1, tied=2, touching=1)
