"""What the ballots of a completed run become: preferences with their lineage, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from commands.policies.propose_pairs import ProposePairs
from commands.workflows import CastBallot, CompleteWorkflow, RecordStep, StartWorkflow
from domain.doubt import Support
from domain.estimates import C, Ranking
from domain.events import Actor, ActorKind
from domain.model_call import Message, ModelCall, Usage
from domain.preference import Lineage, Preference
from domain.ranking import Ballot, Outcome, Tally
from domain.steps import Step, step_id
from domain.workflow import Workflow
from tests.played_runs import ENVELOPE, RUN, Stage
from tests.scripted_agents import a_spec

POLICY = Actor("policy:propose-pairs", ActorKind.AUTOMATION)
TURNS = ("Why?", "And then?")


class ByRank:
    """The Ranker port: agents are as strong as they stand in a list."""

    method = "by-rank/1"

    def __init__(self, strengths: Mapping[str, float]) -> None:
        self._strengths: Any = {answer_of(agent): strength for agent, strength in strengths.items()}

    def rank(self, tally: Tally[C]) -> Ranking[C]:
        return Ranking(self.method, self._strengths)


def answer_of(agent: str) -> UUID:
    return step_id(RUN, agent, "answer", len(TURNS) - 1)


def completed_run(answers: Mapping[str, tuple[str, str]]) -> tuple[Stage, list[UUID]]:
    """A run in which the judges `zoe` and `yan` compared all answers, and the ids of their ballots."""
    stage = Stage([a_spec(agent) for agent in answers])
    execute = stage.store.bus().execute
    stage.request(*TURNS)
    execute(StartWorkflow(RUN, "w1", ()), ENVELOPE)
    for agent, outputs in answers.items():
        for n, output in enumerate(outputs):
            call = ModelCall((Message("system", "Be nice."),), output, "tiny", Usage(), 0.1, "stop")
            step = Step(step_id(RUN, agent, "answer", n), agent, "answer", n, call)
            execute(RecordStep(RUN, 1, step), ENVELOPE)
    names = list(answers)
    ballots = []
    for one in names:
        for other in names[names.index(one) + 1 :]:
            for judge in ("zoe", "yan"):
                id = uuid5(RUN, f"{judge}/{one}/{other}")
                ballots.append(id)
                ballot = Ballot(id, judge, "verdict/1", answer_of(one), answer_of(other), Outcome.FIRST, ())
                execute(CastBallot(RUN, 1, ballot), ENVELOPE)
    execute(CompleteWorkflow(RUN, 1), ENVELOPE)
    return stage, ballots


async def proposed(stage: Stage, ranker: ByRank) -> list[Preference.Proposed]:
    policy = ProposePairs(stage.store, stage.store.bus().execute, ranker, POLICY).policy
    [completed] = stage.store.read(topics=policy.topics)
    await policy.handle(completed)
    await policy.handle(completed)
    return [e.event for e in stage.store.read() if isinstance(e.event, Preference.Proposed)]


async def test_pairs_hold_the_texts_without_system_message_and_where_they_come_from() -> None:
    stage, ballots = completed_run({"anna": ("Because", "Then this"), "ben": ("Dunno", "Then that")})
    [preference] = await proposed(stage, ByRank({"anna": 1.0, "ben": -1.0}))
    assert preference.pair.prompt == (Message("user", "Why?"),)
    assert preference.pair.chosen.messages == (
        Message("assistant", "Because"),
        Message("user", "And then?"),
        Message("assistant", "Then this"),
    )
    assert (preference.pair.chosen.agent, preference.pair.chosen.step) == ("anna", answer_of("anna"))
    assert (preference.pair.rejected.agent, preference.pair.rejected.step) == ("ben", answer_of("ben"))
    assert preference.lineage == Lineage(RUN, tuple(ballots))
    assert preference.support == Support(agree=2, against=0, tied=0, touching=0)
    assert (preference.method, preference.margin) == ("by-rank/1", 2.0)
    assert 0.88 < preference.probability < 0.89


async def test_handling_it_twice_proposes_every_pair_once_in_the_policys_name() -> None:
    stage, ballots = completed_run({name: (name, name) for name in ("anna", "ben", "cleo", "dan")})
    preferences = await proposed(stage, ByRank({"anna": 3, "ben": 2, "cleo": 1, "dan": 0}))
    assert len(preferences) == len(ballots) / 2 == 6
    assert {preference.support and preference.support.touching for preference in preferences} == {4}
    completed = next(e for e in stage.store.history(RUN) if isinstance(e.event, Workflow.Completed))
    for preference in preferences:
        [recorded] = stage.store.history(preference.originator_id)
        assert recorded.envelope.actor == POLICY
        assert recorded.envelope.causation_id == completed.event_id
        assert recorded.envelope.correlation_id == completed.envelope.correlation_id


async def test_a_pairs_id_does_not_depend_on_which_answer_is_better() -> None:
    ids = set()
    for winner in (1.0, -1.0):
        stage, _ = completed_run({"anna": ("a", "a"), "ben": ("b", "b")})
        [preference] = await proposed(stage, ByRank({"anna": winner, "ben": -winner}))
        ids.add(preference.originator_id)
    assert len(ids) == 1


async def test_ties_same_texts_and_empty_answers_teach_nothing() -> None:
    stage, _ = completed_run({"anna": ("a", "a"), "ben": ("b", "b"), "cleo": ("a", "a"), "dan": ("", "")})
    preferences = await proposed(stage, ByRank({"anna": 1.0, "ben": 1.01, "cleo": 0.0, "dan": -1.0}))
    assert [(p.pair.chosen.agent, p.pair.rejected.agent) for p in preferences] == [("ben", "cleo")]
