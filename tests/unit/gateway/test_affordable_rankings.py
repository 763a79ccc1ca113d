"""What a gateway does not begin to rank, as it would take all its time or memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import permutations

import pytest

from adapters.bradley_terry import BradleyTerry
from domain.errors import Invalid
from domain.estimates import Judge
from domain.ranking import Outcome, Vote
from gateway.bootstrap import rankers
from gateway.routes.rankings import MOST_NAMES, MOST_VOTES, OF_AGENTS, affordable


def tally(agents: int) -> Counter[Vote[str]]:
    """Each judges all others once, in both orders."""
    names = [f"agent {n}" for n in range(agents)]
    return Counter(
        Vote(Judge(judge, "verdict/1"), first, second, Outcome.FIRST) for judge, first, second in permutations(names, 3)
    )


def test_a_team_is_ranked_however_often_it_voted() -> None:
    votes = Counter(dict.fromkeys(tally(30), 1_000_000))
    assert affordable([votes]) == [votes]


def test_too_many_agents_are_refused_with_what_to_do() -> None:
    chain = Counter(
        Vote(Judge("ada", "verdict/1"), f"agent {n}", f"agent {n + 1}", Outcome.FIRST) for n in range(MOST_NAMES)
    )
    with pytest.raises(Invalid, match="narrow since and until"):
        affordable([chain])


def test_windows_are_refused_together_before_all_of_them_are_counted() -> None:
    counted = 0

    def windows() -> Iterator[Counter[Vote[str]]]:
        nonlocal counted
        for _ in range(200):
            counted += 1
            yield tally(30)

    with pytest.raises(Invalid, match=f"{MOST_VOTES:,} different votes.*fewer windows"):
        affordable(windows())
    assert counted == MOST_VOTES // len(tally(30)) + 1


def test_agents_are_ranked_by_methods_that_work_from_counts() -> None:
    """The others write every ballot out."""
    assert set(rankers()) - set(OF_AGENTS) == {BradleyTerry.method}
