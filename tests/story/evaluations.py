"""What the adapters are worth."""

from __future__ import annotations

from domain.evaluation import Evaluation, Plan, Subject
from domain.evaluation_figures import Accuracy, Figures, Interval
from domain.job import ResultFile
from tests.story.telling import SHA, at, id_of

FIGURES = Figures(
    pairs=20,
    seen=1,
    refused=0,
    accuracies=(
        Accuracy("base", Interval(0.5, 0.3, 0.7, 20), Interval(0.55, 0.35, 0.75, 20), None),
        Accuracy("team@3", Interval(0.7, 0.5, 0.85, 20), Interval(0.6, 0.4, 0.8, 20), Interval(0.8, 0.6, 0.95, 20)),
    ),
    gain=Interval(0.2, 0.05, 0.35, 20),
    win_rate=Interval(0.65, 0.5, 0.8, 10),
    prompts=10,
    won=5,
    tied=3,
    lost=2,
    same=1,
    ballots=18,
    unparseable=2,
)


def _evaluation(name: str) -> Evaluation:
    subject = Subject("team@3", "base", "smollm2-135m-instruct", id_of("dataset"), "test", 2, ("ada", "bob"))
    return Evaluation.request(id_of(name), subject, Plan(prompts=10), id_of(f"job of the {name}"), at=at(110))


def completed_evaluation() -> Evaluation:
    evaluation = _evaluation("completed evaluation")
    evaluation.complete(FIGURES, ResultFile(SHA, 4096), at=at(111))
    return evaluation


def failed_evaluation() -> Evaluation:
    evaluation = _evaluation("failed evaluation")
    evaluation.fail("all 4 attempts failed: the model server is away", at=at(112))
    return evaluation


def cancelled_evaluation() -> Evaluation:
    evaluation = _evaluation("cancelled evaluation")
    evaluation.cancel("not needed", at=at(113))
    return evaluation
