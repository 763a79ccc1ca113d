"""Which pairs ballots cannot settle, and which of those that wait people should see first."""

from __future__ import annotations

from dataclasses import dataclass

from domain.opinion import IN_QUEUE, Standing

SURE = 0.6
"""A pair is in doubt when the better answer is expected to win fewer ballots than this."""
MOST_AGAINST = 1 / 3
"""Or when more of the judges that prefer one of its two answers than this prefer the worse one."""
DISPUTED, IN_DOUBT = 2.0, 1.0
"""By how much the urgency of such pairs is above that of others, which is below 1."""


@dataclass(frozen=True, slots=True)
class Support:
    """What a pair rests on: how many judges whose ballots are on just its two answers prefer the better one (`agree`),
    the worse one (`against`) or neither (`tied`), each by most of its ballots; and how many further pairs of its run
    share one of its answers (`touching`)."""

    agree: int
    against: int
    tied: int
    touching: int


def in_doubt(probability: float, support: Support | None) -> bool:
    """Whether people must settle the pair before it is trained on, so little do its ballots agree. What is imported or
    written by hand has no ballots, and is not asked."""
    return probability < SURE or (support is not None and disagreement(support) > MOST_AGAINST)


def disagreement(support: Support) -> float:
    """The share of the judges that prefer the worse one, of those that prefer either; 0 where none does."""
    return support.against / decided if (decided := support.agree + support.against) else 0.0


def urgency(standing: Standing, probability: float, support: Support | None, asks_people: bool) -> float:
    """The place in the queue, the highest first; 0 for what is not in it. Disputed pairs come first, then those in
    doubt (`asks_people`). Among equals what counts is uncertainty times impact: how near the ballots are to a coin
    toss, or the judges to contradicting each other; and how many other pairs the same answers are in, since a word on
    one tells of these too."""
    if standing not in IN_QUEUE:
        return 0.0
    uncertainty = max(2 * (1 - probability), 2 * min(0.5, disagreement(support)) if support else 0.0)
    touching = support.touching if support else 0
    tier = DISPUTED if standing is Standing.DISPUTED else IN_DOUBT if asks_people else 0.0
    return tier + uncertainty * (1 + touching) / (2 + touching)


def reasons(
    standing: Standing, probability: float, margin: float, support: Support | None, spoken: int, wanted: int
) -> list[str]:
    """Why a pair has its place in the queue, in words. They tell nobody what others said of it."""
    found = []
    if standing is Standing.DISPUTED:
        found.append(f"the {spoken} who judged it disagree")
    elif spoken:
        found.append(f"{spoken} of {wanted} have judged it")
    if support and support.against:
        found.append(f"{support.against} of {support.agree + support.against} judges disagree")
    if support and support.tied:
        found.append(f"{support.tied} {'judge sees' if support.tied == 1 else 'judges see'} no difference")
    if probability < 1:
        found.append(f"the ballots are {probability:.0%} sure")
        found.append(f"margin {margin:.2f}")
    if support and support.touching:
        found.append(
            f"{support.touching} further {'pair shares' if support.touching == 1 else 'pairs share'} an answer"
        )
    return found
