"""The rubric: published in versions, and what ratings are held to."""

from __future__ import annotations

import pytest

from domain.errors import Invalid, VersionConflict
from domain.opinion import Scores
from domain.rubric import USUAL, Criterion, Rubric, scored
from tests.builders import NOW, topics

SIDES = ("the right one", "both", "the left one")
TRUTH = Criterion("truth", "Which one is true?", SIDES, compares=True)


def a_rubric(*criteria: Criterion, annotators: int = 2) -> Rubric:
    return Rubric.begin(criteria or (TRUTH,), annotators, "the first", NOW)


def test_a_rubric_is_published_in_versions_and_the_same_again_is_none() -> None:
    rubric = a_rubric()
    rubric.publish((TRUTH,), 2, "again", NOW)
    rubric.publish((TRUTH,), 3, "six eyes", NOW)
    assert (topics(rubric), rubric.version, rubric.annotators) == (["published", "published"], 2, 3)
    rubric.must_be_at(2)
    with pytest.raises(VersionConflict):
        rubric.must_be_at(1)


@pytest.mark.parametrize(
    ("criteria", "annotators"),
    [
        ((TRUTH, TRUTH), 1),
        ((Criterion("two words", "?", ("a", "b")),), 1),
        ((Criterion("one", "?", ("a",)),), 1),
        ((Criterion("same", "?", ("a", "a")),), 1),
        ((Criterion("silent", " ", ("a", "b")),), 1),
        (tuple(Criterion(f"c{n}", "?", ("a", "b")) for n in range(13)), 1),
        ((TRUTH,), 0),
        ((TRUTH,), 26),
    ],
)
def test_a_rubric_that_nobody_could_judge_by_is_refused(criteria: tuple[Criterion, ...], annotators: int) -> None:
    with pytest.raises(Invalid):
        a_rubric(*criteria, annotators=annotators)


def test_ratings_are_held_to_the_version_that_is_current() -> None:
    rubric = a_rubric()
    assert scored(rubric, {"truth": 3}, version=1) == Scores(1, {"truth": 3})
    assert scored(rubric, {}) is None
    with pytest.raises(VersionConflict):
        scored(rubric, {"truth": 3}, version=0)
    for ratings in ({"beauty": 1}, {"truth": 0}, {"truth": 4}):
        with pytest.raises(Invalid):
            scored(rubric, ratings)


def test_where_none_was_published_there_is_the_usual_one() -> None:
    assert scored(None, {USUAL[0].name: 5}) == Scores(0, {USUAL[0].name: 5})
    assert a_rubric(*USUAL).criteria == USUAL


def test_of_levels_that_name_both_sides_it_must_be_said_whether_they_compare_them() -> None:
    with pytest.raises(Invalid, match='say "compares": true if'):
        Criterion.told("truth", "Which one is true?", SIDES, None)
    assert Criterion.told("truth", "Which one is true?", SIDES, True) == TRUTH
    for levels, said in ((SIDES, False), (("wrong", "right"), None), (("left out", "bright", "said"), None)):
        assert Criterion.told("facts", "Are the facts there?", levels, said).compares is False


@pytest.mark.parametrize(
    ("levels", "compares"), [(SIDES, True), (("Left!", "RIGHT"), True), (("wrong", "right"), False)]
)
def test_of_older_rubrics_the_levels_tell_what_compares(levels: tuple[str, ...], compares: bool) -> None:
    criterion = {"name": "truth", "question": "?", "levels": list(levels)}
    told = Rubric.Published.upcast_v1_v2({"criteria": [criterion], "annotators": 1, "reason": ""})
    assert told["criteria"] == [criterion | {"compares": compares}]
