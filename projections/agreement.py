"""How far people agree with each other, and the judges among the agents with people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Uuid, and_, any_, literal, or_, select

from domain.opinion import majority
from domain.pair import Verdict
from domain.ports.statistics import AgreementMeasures
from domain.ranking import Outcome
from projections import ballots, dpo_annotations, opinions, rubrics
from projections.opinions import NOW, Asked
from projections.paging import every
from projections.projector import Row

NEEDED = (opinions.PROJECTOR, dpo_annotations.PROJECTOR, ballots.PROJECTOR, rubrics.PROJECTOR)
"""The read models that it is made of."""
ORDER = {Verdict.FLIPPED: -1, Verdict.REJECTED: 0, Verdict.ACCEPTED: 1}
"""Choices on an ordinal scale: one answer is better, neither is fit, the other one is better. Which is which is drawn
for each pair (`_side`)."""
TIED = "tied"
"""What a judge says whose ballots are for neither answer."""

Values = dict[str, dict[UUID, int]]
"""By annotator, what they gave each pair."""
Scale = tuple[int, str]
"""A criterion of a version of the rubric."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A judge's word on a pair and that of most people who judged it, each as a choice."""

    judge: str
    method: str
    judged: str
    people: str


def report(db: Connection, measures: AgreementMeasures, asked: Asked = NOW) -> Row:
    """Agreement of the opinions that are asked for: `overall`, of choices; by criterion of each rubric; and `judges`,
    each against people."""
    said = opinions.of_people(db, asked)
    choices: Values = defaultdict(dict)
    for each in said:
        pair = each["preference_id"]
        choices[each["annotator"]][pair] = ORDER[Verdict(each["choice"])] * _side(pair)
    votes = _votes(db, said, asked)
    judges = sorted({(vote.judge, vote.method) for vote in votes})
    return {
        "overall": _among_people(choices, measures),
        "criteria": [
            {"rubric": rubric, "criterion": name, **_among_people(values, measures)}
            for (rubric, name), values in sorted(_by_criterion(said, _comparisons(db)).items())
        ],
        "judges": [_of_judge(judge, votes, measures) for judge in judges],
    }


def _among_people(values: Values, measures: AgreementMeasures) -> Row:
    """`pairs` counts those that two people or more gave a value, which alone say anything of agreement."""
    counts = Counter(pair for of_one in values.values() for pair in of_one)
    shared = [pair for pair, count in counts.items() if count > 1]
    return {
        "annotators": len(values),
        "pairs": len(shared),
        "unanimous": sum(len({of_one[pair] for of_one in values.values() if pair in of_one}) == 1 for pair in shared),
        "alpha": measures.alpha(values),
    }


def _by_criterion(said: Iterable[Row], comparisons: Mapping[Scale, int]) -> Mapping[Scale, Values]:
    found: dict[Scale, Values] = defaultdict(lambda: defaultdict(dict))
    for each in said:
        for name, level in each["ratings"].items():
            scale, pair = (each["rubric"], name), each["preference_id"]
            turned = scale in comparisons and _side(pair) < 0
            found[scale][each["annotator"]][pair] = comparisons[scale] + 1 - level if turned else level
    return found


def _comparisons(db: Connection) -> dict[Scale, int]:
    """How many levels the criteria have that compare the two answers, in all versions of the rubric."""
    return {
        (rubric["version"], criterion["name"]): len(criterion["levels"])
        for rubric in rubrics.every_version(db)
        for criterion in rubric["criteria"]
        if criterion["compares"]
    }


def _of_judge(judge: tuple[str, str], votes: Iterable[Vote], measures: AgreementMeasures) -> Row:
    pairs = [(vote.judged, vote.people) for vote in votes if (vote.judge, vote.method) == judge]
    name, method = judge
    agreed = sum(one == other for one, other in pairs)
    return {"judge": name, "method": method, "pairs": len(pairs), "agreed": agreed, "kappa": measures.kappa(pairs)}


def _votes(db: Connection, said: Sequence[Row], asked: Asked) -> list[Vote]:
    """Where most people prefer one of the two answers; what they reject, or disagree on, says nothing of a judge."""
    of_pair: dict[UUID, list[Row]] = defaultdict(list)
    for each in said:
        of_pair[each["preference_id"]].append(each)
    people = {pair: majority([Verdict(each["choice"]) for each in of_one]) for pair, of_one in of_pair.items()}
    decided = {pair: choice for pair, choice in people.items() if choice in (Verdict.ACCEPTED, Verdict.FLIPPED)}
    leanings: Counter[tuple[UUID, str, str]] = Counter()
    for ballot in _ballots(db, list(decided), asked):
        proposed = of_pair[ballot["preference_id"]][-1]["chosen_step"]
        first = 1 if ballot["first"] == proposed else -1
        leaning = {Outcome.FIRST.value: first, Outcome.SECOND.value: -first}.get(ballot["outcome"], 0)
        leanings[ballot["preference_id"], ballot["judge"], ballot["method"]] += leaning
    return [
        Vote(judge, method, _choice(leaning * _side(pair)), _choice(ORDER[decided[pair]] * _side(pair)))
        for (pair, judge, method), leaning in leanings.items()
    ]


def _ballots(db: Connection, pairs: Sequence[UUID], asked: Asked) -> list[Row]:
    """The readable ballots on just the two answers of these pairs, in the run that proposed them."""
    ballot, pair = ballots.TABLE.c, dpo_annotations.TABLE.c
    on_these = or_(
        and_(ballot.first == pair.chosen_step, ballot.second == pair.rejected_step),
        and_(ballot.first == pair.rejected_step, ballot.second == pair.chosen_step),
    )
    query = select(pair.preference_id, *ballot["judge", "method", "first", "second", "outcome"])
    query = query.join_from(dpo_annotations.TABLE, ballots.TABLE, and_(ballot.run_id == pair.run_id, on_these))
    these = any_(literal(pairs, ARRAY(Uuid)))  # thousands may have been judged, and parameters are 65,535 at most
    query = query.where(pair.preference_id == these, ballot.outcome != Outcome.UNPARSEABLE.value)
    return every(db, query.where(ballot.position <= asked.as_of) if asked.as_of is not None else query)


def _side(pair: UUID) -> int:
    """1 or -1, by lot. As proposed, the answer that is thought better would come first: whoever agrees with that says
    the same of nearly all pairs, and of agreement beyond chance nothing could be told (Feinstein and Cicchetti 1990).
    The last bit of an id is random, or that of a hash."""
    return 1 if pair.int & 1 else -1


def _choice(leaning: int) -> str:
    if not leaning:
        return TIED
    return (Verdict.ACCEPTED if leaning > 0 else Verdict.FLIPPED).value
