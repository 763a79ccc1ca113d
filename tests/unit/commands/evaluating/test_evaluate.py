"""An evaluation from its request to its figures, with agents that follow a script."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from commands.evaluating.held_out import HeldOut, TrainedOn, held_out, trainings_of
from commands.evaluations import CancelEvaluation, RequestEvaluation
from commands.lora_adapters import PromoteAdapter, RetireAdapter
from commands.policies.held_job import Attempt, PermanentFailure
from domain.errors import AlreadyDone, Invalid, NotFound
from domain.evaluation import EvaluationState, Plan, Subject
from domain.ports.datasets import HeldPair
from domain.sameness import prompt_key
from domain.weighting import WEIGHED_LOSS
from tests.evaluations import Court, Pairs, pairs

TRAINED = ["rain", "snow", "hail"]
HELD = ["fog", "dew", "ice", "mist"]


@pytest.fixture
def court() -> Court:
    court = Court()
    court.a_roster("ada", "ben")
    court.an_adapter(court.a_dataset(train=TRAINED, test=HELD))
    return court


def asked(court: Court, id: UUID) -> Subject:
    return court.evaluation(id).subject


async def test_an_adapter_is_measured_on_what_its_dataset_held_back(court: Court) -> None:
    id = court.ask(RequestEvaluation("team@1"))
    assert (asked(court, id).part, asked(court, id).judges) == ("test", ("ada", "ben"))
    result = await court.evaluate(id)
    found = court.figures(id)
    assert [one.model for one in found.accuracies] == ["base", "team@1"]
    assert (found.pairs, found.seen, found.prompts) == (4, 0, 4)
    assert found.ballots == 4 * 2 * 2  # four prompts, two judges, both orders
    assert found.win_rate
    assert found.win_rate.low <= found.win_rate.value <= found.win_rate.high
    assert result["pairs"] == 4
    assert court.types()[-1] == "evaluation.completed"


async def test_all_that_was_judged_is_kept_beside_the_event(court: Court) -> None:
    id = court.ask(RequestEvaluation("team@1"))
    await court.evaluate(id)
    kept = court.items(id)
    assert len(kept["pairs"]) == len(kept["prompts"]) == 4
    first = kept["prompts"][0]
    assert first["answer"] != first["other"]
    by_judge = [(ballot["judge"], ballot["adapter_first"]) for ballot in first["ballots"]]
    assert sorted(by_judge) == [("ada", False), ("ada", True), ("ben", False), ("ben", True)]


async def test_judges_see_answers_and_no_names_and_have_no_adapter(court: Court) -> None:
    id = court.ask(RequestEvaluation("team@1"))
    await court.evaluate(id)
    asked = [messages[0].content for _, what, messages in court.scripted.calls if what == "compare"]
    assert asked
    assert not any(name in question for question in asked for name in ("team", "base", "contestant"))
    judges = [agent for agent in court.scripted.created if agent.spec.name in ("ada", "ben")]
    assert {agent.adapter for agent in judges} == {None}


async def test_two_who_do_it_at_once_find_the_same_figures_and_one_result(court: Court) -> None:
    id = court.ask(RequestEvaluation("team@1"))
    one, other = await asyncio.gather(court.evaluate(id), court.evaluate(id))
    assert one == other
    assert court.types().count("evaluation.completed") == 1


async def test_without_a_roster_the_base_model_judges() -> None:
    court = Court()
    court.an_adapter(court.a_dataset(train=TRAINED, test=HELD))
    id = court.ask(RequestEvaluation("team@1", plan=Plan(prompts=2)))
    await court.evaluate(id)
    assert court.figures(id).ballots == 2  # by likelihood, which has no order
    assert {ballot["method"] for duel in court.items(id)["prompts"] for ballot in duel["ballots"]} == {"likelihood/1"}


async def test_prompts_that_any_contestant_was_trained_on_are_left_out(court: Court) -> None:
    """Also where only the adapter that it went on from was."""
    later = court.a_dataset(train=["wind"], test=["calm"])
    court.an_adapter(later, start_from="team@1")
    other = court.a_dataset(train=["rain", "wind", "sun"])
    id = court.ask(RequestEvaluation("team@2", dataset_id=other, plan=Plan(prompts=0)))
    await court.evaluate(id)
    assert (court.figures(id).pairs, court.figures(id).seen) == (1, 2)
    nothing = court.a_dataset(train=["rain"])
    id = court.ask(RequestEvaluation("team@2", dataset_id=nothing))
    with pytest.raises(PermanentFailure, match="no pair to ask about but 1 whose prompts were trained on"):
        await court.evaluate(id)


async def test_what_a_model_will_not_take_is_left_out_and_told(court: Court) -> None:
    """As an answer that has more tokens than can be scored: the others are measured, and nothing is tried again."""
    court.an_adapter(court.a_dataset(train=TRAINED, test=["fog", "an endless tale", "dew"]))
    id = court.ask(RequestEvaluation("team@2", plan=Plan(prompts=0)))
    assert (await court.evaluate(id))["pairs"] == court.figures(id).pairs == 2
    (left_out,) = court.items(id)["left_out"]
    assert left_out["reason"] == "the answer has too many tokens"
    assert court.figures(id).refused == 1
    court.an_adapter(court.a_dataset(train=TRAINED, test=["an endless tale"]))
    with pytest.raises(PermanentFailure, match=r"no pair can be scored: the answer has too many tokens$"):
        await court.evaluate(court.ask(RequestEvaluation("team@3")))


async def test_a_server_that_cannot_score_ends_the_evaluation_at_once_and_says_how_else_to_ask(court: Court) -> None:
    """As vLLM, which only answers: another attempt would be refused as well."""
    court.scripted.score = False
    with pytest.raises(PermanentFailure, match=r"no such route; .*ask for its win rate alone: `pairs` 0"):
        await court.evaluate(court.ask(RequestEvaluation("team@1")))


async def test_without_pairs_nothing_is_scored_and_answers_alone_are_compared(court: Court) -> None:
    court.scripted.score = False
    id = court.ask(RequestEvaluation("team@1", plan=Plan(pairs=0, prompts=3)))
    await court.evaluate(id)
    found = court.figures(id)
    assert (found.pairs, found.accuracies, found.gain, found.prompts) == (0, (), None, 3)
    assert found.win_rate


async def test_where_no_prompt_is_answered_there_are_no_figures(court: Court) -> None:
    court.an_adapter(court.a_dataset(train=TRAINED, test=["the unspeakable"]))
    id = court.ask(RequestEvaluation("team@2"))
    with pytest.raises(PermanentFailure, match="no prompt can be answered: the prompt has too many tokens"):
        await court.evaluate(id)
    court.an_adapter(court.a_dataset(train=TRAINED, test=["the unspeakable", "fog"]))
    id = court.ask(RequestEvaluation("team@3"))
    await court.evaluate(id)
    assert (court.figures(id).prompts, court.figures(id).refused) == (1, 1)


async def test_a_judge_that_does_not_take_two_answers_leaves_them_to_the_others() -> None:
    court = Court()
    court.a_roster("ada", "deaf")
    court.an_adapter(court.a_dataset(train=TRAINED, test=HELD))
    id = court.ask(RequestEvaluation("team@1"))
    await court.evaluate(id)
    found = court.figures(id)
    assert (found.prompts, found.refused, found.ballots, found.unparseable) == (4, 0, 4 * 2 * 2, 4 * 2)
    ballots = [ballot for duel in court.items(id)["prompts"] for ballot in duel["ballots"]]
    assert {ballot["judge"] for ballot in ballots if ballot["outcome"] == "unparseable"} == {"deaf"}


def test_what_a_training_took_no_part_of_may_be_asked_about() -> None:
    """It takes the pairs that weigh most, where a dataset has more than it wants, and of equal ones by their ids."""
    rain, snow, hail = pairs("rain", "snow", "hail")
    snow, hail = (replace(pair, preference_id=UUID(int=n)) for pair, n in ((snow, 2), (hail, 1)))
    learnt, asked = UUID(int=1), UUID(int=2)
    datasets = Pairs({(learnt, "train"): [replace(rain, weight=0.5), snow, hail], (asked, "test"): [rain, snow, hail]})
    subject = Subject("team@1", "base", "tiny", asked, "test", None, ())
    for most, left in ((1, [rain, snow]), (2, [rain]), (None, [])):
        found = held_out(subject, Plan(), datasets, {TrainedOn(learnt, most)})
        assert sorted(found.pairs, key=datasets.parts[asked, "test"].index) == left
        assert found.seen == 3 - len(left)


@pytest.mark.parametrize(("weighting", "most"), [(WEIGHED_LOSS, 64), ("loss/1", None), ("sampling/1", None)])
def test_an_adapter_of_before_lots_may_have_learnt_from_any_pair(
    court: Court, weighting: str, most: int | None
) -> None:
    dataset = court.a_dataset(train=["wind"])
    subject = Subject(court.an_adapter(dataset, weighting=weighting), "base", "tiny", dataset, "test", None, ())
    assert trainings_of(subject, court.store) == {TrainedOn(dataset, most)}


async def test_production_is_what_the_alias_means_when_it_is_asked(court: Court) -> None:
    court.an_adapter(court.a_dataset(train=TRAINED, test=HELD))
    assert asked(court, court.ask(RequestEvaluation("team@2", against="production"))).against == "base"
    court.ask(PromoteAdapter("team@1", "the first"))
    id = court.ask(RequestEvaluation("team@2", against="production"))
    assert asked(court, id).against == "team@1"
    await court.evaluate(id)
    assert [one.model for one in court.figures(id).accuracies] == ["base", "team@1", "team@2"]
    assert asked(court, court.ask(RequestEvaluation("team@production"))).adapter == "team@1"
    with pytest.raises(AlreadyDone, match="in production itself"):
        court.ask(RequestEvaluation("team@1", against="production"))


def test_what_cannot_be_evaluated_is_refused_with_what_to_do(court: Court) -> None:
    court.an_adapter(court.a_dataset(train=TRAINED))
    for command, error, said in (
        (RequestEvaluation("team@9"), NotFound, "team@9"),
        (RequestEvaluation("team@2"), Invalid, "--split test=10"),
        (RequestEvaluation("team@1", part="dev"), Invalid, "it has train, test"),
        (RequestEvaluation("team@1", judges=("eve",)), Invalid, "no agent eve"),
        (RequestEvaluation("team@1", plan=Plan(pairs=-1)), Invalid, "pairs must lie"),
        (RequestEvaluation("team@1", plan=Plan(pairs=0, prompts=0)), Invalid, "nothing to ask about"),
    ):
        with pytest.raises(error, match=said):
            court.ask(command)
    court.ask(RetireAdapter("team@1"))
    with pytest.raises(Invalid, match="retired"):
        court.ask(RequestEvaluation("team@1"))


async def test_a_worker_that_died_after_the_result_costs_no_second_asking(court: Court) -> None:
    id = court.ask(RequestEvaluation("team@1"))
    first = await court.evaluate(id)
    asked = len(court.scripted.calls)
    assert await court.evaluate(id) == first
    assert len(court.scripted.calls) == asked


async def test_cancelling_ends_the_job_too_and_no_model_is_asked_any_more(court: Court) -> None:
    id = court.ask(RequestEvaluation("team@1"))
    court.ask(CancelEvaluation(id, "not needed"))
    assert court.job(id).finished
    with pytest.raises(PermanentFailure, match="cancelled"):
        await court.evaluate(id)
    assert not court.scripted.calls
    assert court.evaluation(id).state is EvaluationState.CANCELLED


async def test_what_was_cancelled_while_models_were_asked_gets_no_result(court: Court) -> None:
    id = court.ask(RequestEvaluation("team@1"))

    class CancelledOnTheWay(Attempt):
        def heartbeat(self, text: str = "") -> None:
            if text.startswith("50%"):
                court.ask(CancelEvaluation(id, "not needed"))

    with pytest.raises(PermanentFailure, match="cancelled"):
        await court.evaluate(id, CancelledOnTheWay(court.job(id).id, 1))
    assert court.evaluation(id).state is EvaluationState.CANCELLED


async def test_it_gives_signs_of_life_and_is_cancelled_as_a_coroutine(court: Court) -> None:
    id = court.ask(RequestEvaluation("team@1"))
    work = asyncio.create_task(court.evaluate(id))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert court.evaluation(id).state is EvaluationState.REQUESTED


async def test_each_pair_and_each_prompt_is_a_sign_of_life(court: Court) -> None:
    """A group of long duels may take more than a job's silence is taken for life."""
    heard: list[str] = []

    class Heard(Attempt):
        def heartbeat(self, text: str = "") -> None:
            heard.append(text)
            super().heartbeat(text)

    id = court.ask(RequestEvaluation("team@1"))
    await court.evaluate(id, Heard(court.job(id).id, 1))
    assert heard == ["0%: 0 of 8 pairs and prompts", *[""] * 4, "50%: 4 of 8 pairs and prompts", *[""] * 4]


def test_what_is_drawn_depends_on_the_seed_and_not_on_the_order() -> None:
    names = [f"thing {n}" for n in range(50)]
    subject = Subject("team@1", "base", "tiny", UUID(int=1), "test", None, ())
    plan = Plan(pairs=10, prompts=3)

    def drawn(order: list[str], plan: Plan) -> list[str]:
        found = held_out(subject, plan, Pairs({(UUID(int=1), "test"): pairs(*order)}), ())
        assert len(found.prompts) == 3
        return [pair.prompt[0].content for pair in found.pairs]

    assert drawn(names, plan) == drawn(names[::-1], plan)
    assert set(drawn(names, plan)) != set(drawn(names, Plan(pairs=10, prompts=3, seed=1)))


def several_on_each(*names: str) -> list[HeldPair]:
    """Pairs of the same prompts, the later ones in other cases."""
    once, again = pairs(*names), pairs(*map(str.upper, names))
    return [*once, *(replace(pair, chosen=other.chosen) for pair, other in zip(again, once, strict=True))]


@pytest.mark.parametrize("scored", [0, 2, 100])
def test_as_many_prompts_are_drawn_as_are_asked_for_and_the_same_ones_however_many_pairs_are_scored(
    scored: int,
) -> None:
    """Though pairs share prompts, which are the same in whatever case, and then one of them is asked, in any order."""
    held = several_on_each(*(f"thing {n}" for n in range(12)))
    subject = Subject("team@1", "base", "tiny", UUID(int=1), "test", None, ())

    def drawn(order: list[HeldPair], pairs: int, seed: int = 0) -> HeldOut:
        datasets = Pairs({(UUID(int=1), "test"): order})
        return held_out(subject, Plan(pairs=pairs, prompts=8, seed=seed), datasets, ())

    found = drawn(held, scored)
    assert len(found.pairs) == min(scored, len(held))
    assert len({prompt_key(prompt) for prompt in found.prompts}) == len(found.prompts) == 8
    assert found == drawn(held[::-1], scored)
    assert found.prompts == drawn(held, 0).prompts
    assert found.prompts != drawn(held, scored, seed=1).prompts
