"""Policies of evaluations: promote by the rule, once; end what its job cannot do. And rollbacks by hand."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from commands.evaluations import CancelEvaluation, CompleteEvaluation, RequestEvaluation
from commands.jobs import CancelJob, FailJobAttempt, ReplayJob, RequestJob, StartJob
from commands.lora_adapters import PromoteAdapter, RetireAdapter, RollBackAdapter, in_use
from commands.policies.end_evaluations import EndEvaluations
from commands.policies.promote_adapters import PromoteAdapters
from domain.errors import AlreadyDone, Invalid, NotFound
from domain.evaluation import EvaluationState
from domain.evaluation_figures import PromotionRule
from domain.events import Actor, ActorKind
from domain.job import JobState, ResultFile
from domain.lora_adapter import LoraAdapter
from tests.evaluations import Court
from tests.fakes import SOMEBODY, an_envelope
from tests.played_runs import Stage
from tests.scripted_agents import ScriptedAgents, a_spec
from tests.story import FIGURES

POLICY = Actor("policy:promote-adapters", ActorKind.AUTOMATION)
RULE = PromotionRule(win_rate=0.5, gain=0.0)


@pytest.fixture
def court() -> Court:
    court = Court()
    dataset = court.a_dataset(train=["rain"], test=["fog"])
    for _ in range(3):
        court.an_adapter(dataset)
    return court


def means(court: Court) -> str | None:
    return in_use("team", court.store.session(an_envelope()))


def completed(court: Court, adapter: str, against: str = "base") -> UUID:
    id = court.ask(RequestEvaluation(adapter, against))
    court.ask(CompleteEvaluation(id, FIGURES, ResultFile("ab" * 32, 1)))
    return id


async def test_figures_that_are_enough_promote_the_adapter_by_policy_and_say_so(court: Court) -> None:
    id = completed(court, "team@1")
    policy = PromoteAdapters(court.store, court.bus.execute, RULE, POLICY)
    await policy.handle(court.last())
    assert means(court) == "team@1"
    promoted = court.last()
    assert isinstance(promoted.event, LoraAdapter.Promoted)
    assert promoted.envelope.actor == POLICY
    assert promoted.event.evaluation == id
    assert all(part in promoted.event.reason for part in (str(id), "0.650 [0.500, 0.800]", "0.200 [0.050, 0.350]"))


async def test_an_evaluation_promotes_once_even_after_a_rollback(court: Court) -> None:
    completed(court, "team@1")
    event = court.last()
    policy = PromoteAdapters(court.store, court.bus.execute, RULE, POLICY)
    await policy.handle(event)
    court.ask(RollBackAdapter("team", "worse with people"))
    await policy.handle(event)
    assert means(court) is None


async def test_what_a_person_rolled_back_only_a_person_promotes_again(court: Court) -> None:
    policy = PromoteAdapters(court.store, court.bus.execute, RULE, POLICY)
    completed(court, "team@1")
    await policy.handle(court.last())
    court.ask(RollBackAdapter("team", "worse with people"))
    completed(court, "team@1")
    await policy.handle(court.last())
    assert means(court) is None
    court.ask(PromoteAdapter("team@1", "it was not to blame"))
    assert means(court) == "team@1"


@pytest.mark.parametrize("rule", [None, PromotionRule(0.51, 0.0), PromotionRule(0.5, 0.06)])
async def test_what_is_not_enough_promotes_nothing_and_neither_does_no_rule(
    court: Court, rule: PromotionRule | None
) -> None:
    completed(court, "team@1")
    await PromoteAdapters(court.store, court.bus.execute, rule, POLICY).handle(court.last())
    assert means(court) is None


async def test_nothing_is_promoted_over_what_it_was_not_measured_against(court: Court) -> None:
    completed(court, "team@2", against="base")
    event = court.last()
    court.ask(PromoteAdapter("team@1", "meanwhile"))
    await PromoteAdapters(court.store, court.bus.execute, RULE, POLICY).handle(event)
    assert means(court) == "team@1"


def test_a_promotion_by_hand_may_name_its_evaluation_and_no_other(court: Court) -> None:
    id = completed(court, "team@1")
    with pytest.raises(Invalid, match="is of team@1, not of team@2"):
        court.ask(PromoteAdapter("team@2", "better", evaluation=id))
    unfinished = court.ask(RequestEvaluation("team@1"))
    with pytest.raises(Invalid, match="is requested: only one that is completed has figures"):
        court.ask(PromoteAdapter("team@1", "better", evaluation=unfinished))
    court.ask(PromoteAdapter("team@1", "better", evaluation=id))


def test_what_is_in_use_is_not_promoted_again_and_it_is_told_who_did(court: Court) -> None:
    again = PromoteAdapter("team@1", "once more")
    court.ask(PromoteAdapter("team@1", "better"))
    before = court.store.head()
    for name in ("team@1", "team@production"):
        with pytest.raises(
            AlreadyDone, match=rf"team@1 is in use already: {SOMEBODY.subject} promoted it at 2026-.* UTC"
        ):
            court.ask(replace(again, name=name))
    assert court.store.head() == before
    court.ask(PromoteAdapter("team@2", "better still"))
    court.ask(again)
    assert means(court) == "team@1"
    court.ask(RollBackAdapter("team", "worse"))
    assert means(court) == "team@2"
    court.ask(again)
    court.ask(RetireAdapter("team@2"))
    with pytest.raises(AlreadyDone, match="team@1 is in use already"):
        court.ask(again)


def test_a_promotion_that_is_sent_twice_is_answered_twice_alike(court: Court) -> None:
    asked = an_envelope(command_id=uuid4())
    once, twice = (court.bus.execute(PromoteAdapter("team@1", "better"), asked) for _ in range(2))
    assert (once, court.types().count("lora_adapter.promoted")) == (twice, 1)


async def test_what_a_person_promoted_meanwhile_no_policy_promotes_again(court: Court) -> None:
    completed(court, "team@1")
    event = court.last()
    court.ask(PromoteAdapter("team@1", "it is good"))
    await PromoteAdapters(court.store, court.bus.execute, RULE, POLICY).handle(event)
    assert (means(court), court.types().count("lora_adapter.promoted")) == ("team@1", 1)


def test_a_rollback_is_one_event_after_which_the_alias_means_what_it_meant(court: Court) -> None:
    for name in ("team@1", "team@2", "team@3"):
        court.ask(PromoteAdapter(name, "better"))
    with pytest.raises(AlreadyDone, match="but team@3"):
        court.ask(RollBackAdapter("team", "worse", adapter="team@2"))
    before = court.store.head()
    court.ask(RollBackAdapter("team", "worse", adapter="team@3"))
    assert (means(court), court.store.head() - before) == ("team@2", 1)
    rolled = court.last().event
    assert isinstance(rolled, LoraAdapter.RolledBack)
    assert (rolled.name, rolled.to, rolled.reason) == ("team@3", "team@2", "worse")
    court.ask(RollBackAdapter("team", "worse too"))
    court.ask(RollBackAdapter("team", "the base is best"))
    assert means(court) is None
    with pytest.raises(AlreadyDone, match="base model"):
        court.ask(RollBackAdapter("team", "once more"))
    with pytest.raises(NotFound, match="no adapter in use as team@production"):
        court.ask(PromoteAdapter("team@production", "again"))
    with pytest.raises(NotFound, match="no adapter taem@1"):
        court.ask(RollBackAdapter("taem", "a slip"))
    court.ask(PromoteAdapter("team@3", "it was not to blame"))
    assert means(court) == "team@3"


async def test_steps_name_the_adapter_that_was_in_use_when_their_run_began(court: Court) -> None:
    """Of agents that ask for the alias, and of those that ask for what is in production, which is the same."""
    specs = [a_spec("anna"), a_spec("ben", adapter="team@production"), a_spec("cleo", adapter=None)]

    async def answered_by() -> set[tuple[str, str | None]]:
        now = means(court)
        stage = Stage(specs, promoted={"team": now} if now else {})
        run = stage.request("Which city?")
        await stage.worker(ScriptedAgents()).play(run)
        return {(step.agent, step.call.adapter) for step in stage.steps(run)}

    assert await answered_by() == {("anna", None), ("ben", None), ("cleo", None)}
    court.ask(PromoteAdapter("team@1", "better"))
    assert await answered_by() == {("anna", "team@1"), ("ben", "team@1"), ("cleo", None)}
    court.ask(PromoteAdapter("team@2", "better still"))
    assert await answered_by() == {("anna", "team@2"), ("ben", "team@2"), ("cleo", None)}
    court.ask(RollBackAdapter("team", "worse"))
    assert await answered_by() == {("anna", "team@1"), ("ben", "team@1"), ("cleo", None)}


async def test_an_evaluation_fails_or_is_cancelled_as_its_job_is(court: Court) -> None:
    policy = EndEvaluations(court.store, court.bus.execute, POLICY)
    dead, cancelled = (court.ask(RequestEvaluation("team@1")) for _ in range(2))
    court.ask(StartJob(court.job(dead).id, "worker-1"))
    court.ask(FailJobAttempt(court.job(dead).id, 1, "nothing to ask about", permanent=True))
    await policy.handle(court.last())
    court.ask(CancelJob(court.job(cancelled).id, "not needed"))
    ended = court.last()
    for _ in range(2):
        await policy.handle(ended)
    states = [court.evaluation(id).state for id in (dead, cancelled)]
    assert states == [EvaluationState.FAILED, EvaluationState.CANCELLED]
    assert court.types()[-2:] == ["job.cancelled", "evaluation.cancelled"]
    with pytest.raises(AlreadyDone):
        court.ask(CompleteEvaluation(cancelled, FIGURES, ResultFile("ab" * 32, 1)))


async def test_a_dead_letter_that_is_replayed_and_cancelled_leaves_no_evaluation_open(court: Court) -> None:
    policy = EndEvaluations(court.store, court.bus.execute, POLICY)
    id = court.ask(RequestEvaluation("team@1"))
    court.ask(StartJob(court.job(id).id, "worker-1"))
    court.ask(FailJobAttempt(court.job(id).id, 1, "the model server is away", permanent=True))
    await policy.handle(court.last())
    court.ask(ReplayJob(court.job(id).id))
    court.ask(CancelJob(court.job(id).id, "not needed"))
    await policy.handle(court.last())
    assert court.evaluation(id).state is EvaluationState.CANCELLED
    with pytest.raises(AlreadyDone):
        court.ask(CompleteEvaluation(id, FIGURES, ResultFile("ab" * 32, 1)))


async def test_an_evaluation_stays_failed_when_its_dead_letter_is_let_be(court: Court) -> None:
    policy = EndEvaluations(court.store, court.bus.execute, POLICY)
    id = court.ask(RequestEvaluation("team@1"))
    court.ask(StartJob(court.job(id).id, "worker-1"))
    court.ask(FailJobAttempt(court.job(id).id, 1, "the model server is away", permanent=True))
    await policy.handle(court.last())
    court.ask(CancelJob(court.job(id).id, "nobody needs it any more"))
    await policy.handle(court.last())
    assert court.types()[-2:] == ["evaluation.failed", "job.cancelled"]


async def test_an_evaluation_that_failed_is_cancelled_with_its_dead_letter(court: Court) -> None:
    id = court.ask(RequestEvaluation("team@1"))
    court.ask(StartJob(court.job(id).id, "worker-1"))
    court.ask(FailJobAttempt(court.job(id).id, 1, "the model server is away", permanent=True))
    await EndEvaluations(court.store, court.bus.execute, POLICY).handle(court.last())
    court.ask(CancelEvaluation(id, "not needed"))
    assert court.evaluation(id).state is EvaluationState.CANCELLED
    assert court.job(id).state is JobState.CANCELLED


async def test_other_jobs_end_no_evaluation(court: Court) -> None:
    job = court.ask(RequestJob("orphans"))
    court.ask(CancelJob(job, "not needed"))
    await EndEvaluations(court.store, court.bus.execute, POLICY).handle(court.last())
    assert court.types()[-1] == "job.cancelled"


def test_the_job_of_an_evaluation_is_not_asked_for_by_itself(court: Court) -> None:
    with pytest.raises(Invalid, match="belongs to an evaluation"):
        court.ask(RequestJob("evaluate", {"evaluation": str(UUID(int=1))}))
