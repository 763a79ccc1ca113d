"""What the ballots proposed, and what people said of it."""

from __future__ import annotations

from domain.doubt import Support
from domain.model_call import Message
from domain.opinion import Scores
from domain.preference import Completion, Lineage, Pair, Preference, Verdict
from domain.rubric import Criterion, Rubric
from tests.story.runs import BALLOTS, RUN, STEPS
from tests.story.telling import at, id_of

PAIR = Pair(
    prompt=(Message("user", "Write a haiku about rain."),),
    chosen=Completion((Message("assistant", "Soft rain — on the roof"),), "ada", STEPS["ada"]),
    rejected=Completion((Message("assistant", "It rains."),), "bob", STEPS["bob"]),
)


def preference(name: str) -> Preference:
    """As the ballots propose it."""
    lineage = Lineage(RUN, BALLOTS)
    support = Support(agree=1, against=0, tied=0, touching=0)
    return Preference.propose(id_of(name), PAIR, 0.75, 1.0986, "bradley-terry/1", lineage, at=at(20), support=support)


def preferences() -> list[Preference]:
    """One of each standing that a word or none leads to."""
    waiting, accepted, flipped, edited, rejected, withdrawn = (
        preference(name) for name in ("waiting", "accepted", "flipped", "edited", "rejected", "withdrawn")
    )
    accepted.annotate(Verdict.ACCEPTED, "yes", at(21), "ada", Scores(0, {"clarity": 5}))
    flipped.annotate(Verdict.FLIPPED, "the other", at(22), "ada")
    edited.revise("Soft rain on old roofs", None, "seven syllables", at(23), "ada")
    rejected.annotate(Verdict.REJECTED, "neither", at(24), "ada")
    withdrawn.withdraw("a test", at=at(25))
    return [waiting, accepted, flipped, edited, rejected, withdrawn]


def contested() -> list[Preference]:
    """Ada and ben disagree on one pair; of the other one ada takes her word back, and cyd would rather not judge it."""
    disputed, taken_back = preference("disputed"), preference("taken back")
    disputed.assign("ben", at=at(110))
    disputed.annotate(Verdict.ACCEPTED, "it sings", at(111), "ada", wanted=2)
    disputed.annotate(Verdict.FLIPPED, "it lies", at(112), "ben", wanted=2)
    disputed.remark("ada", "ask a poet", at=at(113))
    taken_back.assign("cyd", at=at(114))
    taken_back.unassign("cyd", at=at(115))
    taken_back.skip("cyd", "I wrote it", at=at(116))
    taken_back.annotate(Verdict.FLIPPED, "", at(117), "ada")
    taken_back.annotate(Verdict.ACCEPTED, "", at(118), "ada")
    taken_back.undo("ada", "the wrong key", at=at(119))
    taken_back.undo("ada", "", at=at(120))
    return [disputed, taken_back]


def rubric() -> Rubric:
    """Two people are to judge each pair, by truth alone."""
    truth = Criterion("truth", "Which one is true?", ("the right one", "both", "the left one"), compares=True)
    rubric = Rubric.begin((truth,), 1, "the first", at=at(121))
    rubric.publish((truth,), 2, "four eyes", at=at(122))
    return rubric
