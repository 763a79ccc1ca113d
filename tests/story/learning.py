"""What was learnt from the pairs: a dataset, trainings and adapters."""

from __future__ import annotations

from domain.dataset import Dataset
from domain.dataset_contents import Contents, Lengths, PartFile, TokenLengths
from domain.dataset_recipe import Filter, Holdout, Part, Recipe
from domain.lora_adapter import LoraAdapter, Passport
from domain.preference import Verdict
from domain.training import Reference, StartingPoint, TrainedAdapter, TrainingRun
from domain.training_config import TrainingConfig
from domain.training_progress import Progress
from tests.story.runs import RUN
from tests.story.telling import BEGINNING, EMPTY, SHA, at, id_of


def dataset() -> Dataset:
    """Of settled pairs; a tenth of the prompts is for a test, and those of a benchmark are left out."""
    filter = Filter(0.5, True, (RUN,), ("bradley-terry/1",), verdicts=(Verdict.ACCEPTED,), since=BEGINNING)
    recipe = Recipe(parts=(Part("test", 10.0),), salt="1", holdouts=(Holdout("haikus", ("Write a haiku.",)),))
    dataset = Dataset.request(id_of("dataset"), 30, 40, filter, at(30), recipe)
    characters = {text: Lengths(9, 16, 25, 25, 25) for text in ("prompt", "chosen", "rejected")}
    contents = Contents(
        code="0.1.0+1b45563",
        files=(PartFile("train", 3, 3, SHA, 4096), PartFile("test", 0, 0, EMPTY, 0)),
        verdicts={"accepted": 3},
        methods={"bradley-terry/1": 3},
        dropped={"unwanted": 2, "withdrawn": 1},
        contradictions=1,
        overlapping=1,
        overlaps=(id_of("flipped"),),
        characters=characters,
        tokens=TokenLengths("smollm2-135m-instruct@c0ffee", 3, Lengths(20, 31, 42, 42, 42), {"256": 0}),
    )
    dataset.built(contents, at=at(31))
    return dataset


CONFIG = TrainingConfig(max_steps=2)
FIRST_STEP = Progress(
    step=1,
    total_steps=2,
    loss=0.69,
    margin=0.0,
    accuracy=0.5,
    seconds_left=3.0,
    samples_per_second=1.5,
    rewards_chosen=0.0,
    rewards_rejected=0.0,
    logps_chosen=-80.5,
    logps_rejected=-75.25,
    chosen_shift=0.0,
    kl=0.0,
    entropy=1.5,
    grad_norm=2.5,
    learning_rate=5e-4,
    truncated=0.25,
    chosen_length=60.0,
    length_lead=-3.5,
    length_correlation=None,
)


def requested_training(name: str) -> TrainingRun:
    """No trainer has begun with it."""
    base = "smollm2-135m-instruct"
    start = StartingPoint("team@0", SHA, SHA[::-1], Reference.START)
    return TrainingRun.request(
        id_of(name), id_of("dataset"), SHA, 30, base, "team", CONFIG, at=at(40), start_from=start
    )


def completed_training() -> TrainingRun:
    run = requested_training("completed training")
    run.start("trainer-1", "team@1", at=at(41))
    run.progress(1, FIRST_STEP, at=at(42))
    run.progress(1, Progress(2, 2, 0.41, 0.8, 1.0, 0.0, 1.5), at=at(43))
    trained = TrainedAdapter("team@1", SHA, "smollm2-135m-instruct", SHA[::-1], 3, 0.69, 0.41, 6.0)
    run.complete(1, trained, at=at(44))
    return run


def failed_training() -> TrainingRun:
    run = requested_training("failed training")
    run.start("trainer-1", "team@2", at=at(41))
    run.fail(1, "out of memory", at=at(42))
    return run


def cancelled_training() -> TrainingRun:
    run = requested_training("cancelled training")
    run.cancel("too slow", at=at(41))
    return run


def adapter(revision: int) -> LoraAdapter:
    adapter = LoraAdapter.reserve("team", revision, id_of("completed training"), at=at(41))
    adapter.register(
        Passport(
            alias="team",
            revision=revision,
            sha256=SHA,
            base_model="smollm2-135m-instruct",
            base_sha256=SHA[::-1],
            training_run=id_of("completed training"),
            dataset_id=id_of("dataset"),
            dataset_sha256=SHA,
            position=30,
            pairs=3,
            config=CONFIG,
        ),
        at=at(50),
    )
    return adapter


def promoted_adapter() -> LoraAdapter:
    first = adapter(1)
    first.promote("the first", at=at(51))
    return first


def retired_adapter() -> LoraAdapter:
    second = adapter(2)
    second.promote("better", at=at(52))
    second.retire("worse after all", at=at(53))
    return second


def rolled_back_adapter() -> LoraAdapter:
    third = adapter(3)
    third.promote("an evaluation spoke for it", at=at(54), evaluation=id_of("completed evaluation"))
    third.roll_back("team@1", "it says too much", at=at(55))
    return third
