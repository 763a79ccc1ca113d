"""What may be asked: every command loads, decides and saves, under the caller's envelope."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from commands.bus import CommandBus
from commands.datasets import DatasetBuilt, RequestDataset
from commands.lora_adapters import PromoteAdapter, RetireAdapter
from commands.preferences import AnnotatePreference, ProposePreference, RevisePreference, WithdrawPreference
from commands.roster import ANY, PatchAgent, PutAgent, RemoveAgent, ReviseRoster
from commands.training import (
    CancelTraining,
    CompleteTraining,
    FailTraining,
    RecordProgress,
    RequestTraining,
    StartTraining,
)
from commands.workflows import (
    BeginStep,
    CastBallot,
    CompleteWorkflow,
    EndAtLimit,
    FailWorkflow,
    PauseWorkflow,
    RecordStep,
    ReleaseWorkflow,
    RequestWorkflow,
    ResumeWorkflow,
    RetryWorkflow,
    StartWorkflow,
    StopWorkflow,
)
from domain.dataset_contents import PartFile
from domain.errors import AlreadyDone, Invalid, NotFound, NotReady, PreconditionRequired, VersionConflict
from domain.limits import Limit, Limits
from domain.lora_adapter import LoraAdapter, adapter_id
from domain.preference import Verdict
from domain.roster import ROSTER_ID, AgentRoster
from domain.steps import CastMember, Step, Task, step_id
from domain.training import Reference, StartingPoint, TrainingRun
from domain.training_config import TrainingConfig
from domain.weighting import WEIGHED_LOSS
from domain.workflow import Workflow
from tests.builders import CAST, SHA, a_ballot, a_call, a_pair, a_progress, a_trained_adapter, an_id, contents
from tests.fakes import SOMEBODY, MemoryEventStore, an_envelope

TASK = Task(("Which city?",))


class Doors:
    """Asks in somebody's name."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.bus: CommandBus = self.store.bus()

    def ask(self, command: object) -> UUID:
        return self.bus.execute(command, an_envelope()).id

    def types(self) -> list[str]:
        return [recorded.type for recorded in self.store.read()]

    def a_roster(self) -> UUID:
        return self.ask(ReviseRoster(json.dumps(["ada", "ben", "cyd"])))

    def a_built_dataset(self, pairs: int = 20) -> UUID:
        dataset = self.ask(RequestDataset())
        self.ask(DatasetBuilt(dataset, contents(PartFile("train", pairs, 1, SHA, 100))))
        return dataset

    def a_running_training(self) -> UUID:
        run = self.ask(RequestTraining(self.a_built_dataset(), "tiny", "team"))
        self.ask(StartTraining(run, "trainer-1"))
        return run


@pytest.fixture
def doors() -> Doors:
    return Doors()


def test_every_event_carries_the_callers_envelope(doors: Doors) -> None:
    envelope = an_envelope(command_id=an_id("command"))
    doors.bus.execute(ProposePreference(a_pair()), envelope)
    (proposed,) = doors.store.read()
    assert proposed.envelope == envelope
    assert proposed.envelope.actor == SOMEBODY


# --- workflows


def test_a_run_takes_the_whole_roster_and_pins_its_revision(doors: Doors) -> None:
    doors.a_roster()
    doors.ask(RequestWorkflow("mutual_ranking", TASK))
    *_, requested = doors.store.read()
    assert isinstance(requested.event, Workflow.Requested)
    assert requested.event.agents == ("ada", "ben", "cyd")
    assert requested.event.roster_revision == 1


def test_a_run_can_name_its_agents(doors: Doors) -> None:
    doors.a_roster()
    doors.ask(RequestWorkflow("mutual_ranking", TASK, agents=("cyd", "ada", "ben")))
    *_, requested = doors.store.read()
    assert isinstance(requested.event, Workflow.Requested)
    assert requested.event.agents == ("cyd", "ada", "ben")


def test_a_run_of_an_unknown_kind_or_agent_is_refused_with_what_there_is(doors: Doors) -> None:
    doors.a_roster()
    with pytest.raises(Invalid, match="mutual_ranking"):
        doors.ask(RequestWorkflow("chess", TASK))
    with pytest.raises(Invalid, match="ada, ben, cyd"):
        doors.ask(RequestWorkflow("mutual_ranking", TASK, agents=("ada", "eve")))


def test_a_run_of_other_agents_than_its_kind_needs_is_refused_before_it_costs_anything(doors: Doors) -> None:
    doors.ask(ReviseRoster(json.dumps([f"agent-{n}" for n in range(13)])))
    with pytest.raises(Invalid, match="mutual_ranking needs 3 to 12 agents; these are 2: name those who shall take"):
        doors.ask(RequestWorkflow("mutual_ranking", TASK, agents=("agent-1", "agent-2")))
    with pytest.raises(Invalid, match="these are 13"):
        doors.ask(RequestWorkflow("mutual_ranking", TASK))
    with pytest.raises(Invalid, match="role_playing needs 2 agents; these are 13"):
        doors.ask(RequestWorkflow("role_playing", TASK))
    doors.ask(RequestWorkflow("role_playing", TASK, agents=("agent-2", "agent-1")))


def test_no_run_starts_without_a_roster(doors: Doors) -> None:
    with pytest.raises(NotFound):
        doors.ask(RequestWorkflow("mutual_ranking", TASK))


def test_a_worker_plays_a_run_to_its_end(doors: Doors) -> None:
    doors.a_roster()
    run = doors.ask(RequestWorkflow("mutual_ranking", TASK))
    doors.ask(StartWorkflow(run, "worker-1", CAST))
    adas, bens = step_id(run, "ada", "answer", 0), step_id(run, "ben", "answer", 0)
    doors.ask(RecordStep(run, 1, Step(adas, "ada", "answer", 0, a_call())))
    doors.ask(RecordStep(run, 1, Step(bens, "ben", "answer", 0, a_call())))
    doors.ask(CastBallot(run, 1, a_ballot(adas, bens)))
    doors.ask(CompleteWorkflow(run, 1))
    assert doors.types()[1:] == [
        "workflow.requested",
        "workflow.started",
        "workflow.step_recorded",
        "workflow.step_recorded",
        "workflow.ballot_cast",
        "workflow.completed",
    ]


def test_of_two_workers_who_find_a_run_one_takes_it(doors: Doors) -> None:
    doors.a_roster()
    run = doors.ask(RequestWorkflow("mutual_ranking", TASK))
    doors.ask(StartWorkflow(run, "worker-1", CAST, expected_version=1))
    with pytest.raises(VersionConflict):
        doors.ask(StartWorkflow(run, "worker-2", (CastMember("ada", None),), expected_version=1))


def test_a_run_is_paused_resumed_let_go_and_retried(doors: Doors) -> None:
    doors.a_roster()
    run = doors.ask(RequestWorkflow("mutual_ranking", TASK, limits=Limits(steps=1)))
    doors.ask(StartWorkflow(run, "worker-1", CAST))
    doors.ask(BeginStep(run, 1, "ada", "answer", 0))
    doors.ask(PauseWorkflow(run, "a deployment", expected_version=3))
    doors.ask(ReleaseWorkflow(run, 1, "it is paused"))
    doors.ask(ResumeWorkflow(run, expected_version=5))
    doors.ask(StartWorkflow(run, "worker-2", CAST))
    doors.ask(EndAtLimit(run, 2, Limit.STEPS))
    doors.ask(RetryWorkflow(run, Limits(steps=2), "more", expected_version=8))
    happened = [
        "requested",
        "started",
        "step_begun",
        "paused",
        "released",
        "resumed",
        "started",
        "exhausted",
        "retried",
    ]
    assert doors.types()[1:] == [f"workflow.{what}" for what in happened]


def test_a_run_can_fail_or_be_stopped(doors: Doors) -> None:
    doors.a_roster()
    failing, stopped = (doors.ask(RequestWorkflow("mutual_ranking", TASK)) for _ in range(2))
    doors.ask(StartWorkflow(failing, "worker-1", CAST))
    doors.ask(FailWorkflow(failing, 1, "the model is gone"))
    doors.ask(StopWorkflow(stopped, "enough"))
    assert doors.types()[-2:] == ["workflow.failed", "workflow.stopped"]


# --- preferences


def test_a_person_judges_edits_and_withdraws(doors: Doors) -> None:
    preference = doors.ask(ProposePreference(a_pair()))
    doors.ask(AnnotatePreference(preference, Verdict.FLIPPED, expected_version=1))
    doors.ask(RevisePreference(preference, "Lyon, on the Rhône.", expected_version=2))
    doors.ask(WithdrawPreference(preference, "private", expected_version=3))
    assert doors.types() == [f"preference.{what}" for what in ("proposed", "annotated", "revised", "withdrawn")]


def test_of_two_people_at_once_the_slower_one_is_told(doors: Doors) -> None:
    preference = doors.ask(ProposePreference(a_pair()))
    doors.ask(AnnotatePreference(preference, Verdict.ACCEPTED, expected_version=1))
    with pytest.raises(VersionConflict, match="version 2, not 1"):
        doors.ask(AnnotatePreference(preference, Verdict.FLIPPED, expected_version=1))


def test_a_change_that_changes_nothing_answers_with_the_head_of_the_log(doors: Doors) -> None:
    preference = doors.ask(ProposePreference(a_pair()))
    doors.ask(WithdrawPreference(preference, "private"))
    doors.ask(ProposePreference(a_pair()))
    again = doors.bus.execute(WithdrawPreference(preference, "private"), an_envelope())
    assert (again.version, again.position) == (2, 3)


# --- datasets and training


def test_a_dataset_is_as_of_now_unless_told_otherwise(doors: Doors) -> None:
    doors.ask(ProposePreference(a_pair()))
    doors.ask(RequestDataset())
    doors.ask(RequestDataset(position=0))
    assert [getattr(recorded.event, "position", None) for recorded in doors.store.read(after=1)] == [1, 0]
    with pytest.raises(Invalid):
        doors.ask(RequestDataset(position=99))


def test_training_waits_for_a_dataset_that_is_built_and_holds_something(doors: Doors) -> None:
    with pytest.raises(NotReady, match="not built yet"):
        doors.ask(RequestTraining(doors.ask(RequestDataset()), "tiny", "team"))
    with pytest.raises(Invalid, match="no pair"):
        doors.ask(RequestTraining(doors.a_built_dataset(pairs=0), "tiny", "team"))
    with pytest.raises(Invalid, match="alias"):
        doors.ask(RequestTraining(doors.a_built_dataset(), "tiny", "Our Team"))
    with pytest.raises(Invalid, match="no trainer has 'huge'; there is tiny"):
        doors.ask(RequestTraining(doors.a_built_dataset(), "huge", "team"))


def test_a_completed_training_registers_its_adapter_in_the_same_transaction(doors: Doors) -> None:
    run = doors.a_running_training()
    doors.ask(RecordProgress(run, 1, a_progress(1)))
    doors.ask(CompleteTraining(run, 1, a_trained_adapter("team@1")))
    *_, completed, registered = doors.store.read()
    assert isinstance(completed.event, TrainingRun.Completed)
    assert isinstance(registered.event, LoraAdapter.Registered)
    assert registered.event.passport.training_run == run
    assert registered.event.passport.dataset_sha256 == SHA
    assert completed.envelope == registered.envelope


def test_every_training_has_a_revision_of_its_own_though_others_run_or_failed(doors: Doors) -> None:
    for _ in range(3):
        run = doors.a_running_training()
        doors.ask(FailTraining(run, 1, "out of memory"))
    doors.a_running_training()
    doors.a_running_training()
    starts = [recorded.event for recorded in doors.store.read(topics=["training_run.started"])]
    assert [getattr(start, "adapter_name", None) for start in starts] == [f"team@{n}" for n in (1, 2, 3, 4, 5)]


def test_a_training_taken_over_keeps_its_revision(doors: Doors) -> None:
    run = doors.a_running_training()
    doors.a_running_training()
    doors.ask(StartTraining(run, "trainer-2"))
    *_, started = doors.store.read()
    assert isinstance(started.event, TrainingRun.Started)
    assert (started.event.epoch, started.event.adapter_name) == (2, "team@1")


def test_a_training_goes_on_from_the_adapter_of_an_earlier_round(doors: Doors) -> None:
    doors.ask(CompleteTraining(doors.a_running_training(), 1, a_trained_adapter("team@1")))
    asked = RequestTraining(doors.a_built_dataset(), "tiny", "team", start_from="team@1", reference=Reference.START)
    run = doors.ask(asked)
    start = StartingPoint("team@1", SHA, SHA, Reference.START)
    assert doors.store.session(an_envelope()).get(TrainingRun, run).start_from == start
    doors.ask(StartTraining(run, "trainer-1"))
    doors.ask(CompleteTraining(run, 1, a_trained_adapter("team@2")))
    passport = doors.store.session(an_envelope()).get(LoraAdapter, adapter_id("team@2")).passport
    assert passport
    assert (passport.start_from, passport.weighting) == (start, WEIGHED_LOSS)


@pytest.mark.parametrize(
    ("asked", "error", "reason"),
    [
        ({"start_from": "team@9"}, NotFound, "team@9"),
        ({"start_from": "team@2"}, Invalid, "team@2 is not there"),
        ({"start_from": "team@1", "config": TrainingConfig(r=4)}, Invalid, "r must be 8, as it is in team@1"),
        ({"reference": Reference.START}, Invalid, "name the adapter of an earlier round as start_from"),
        (
            {
                "start_from": "team@1",
                "reference": Reference.START,
                "config": TrainingConfig(precompute_ref_log_probs=False),
            },
            Invalid,
            "precompute_ref_log_probs must be true",
        ),
    ],
)
def test_a_training_cannot_go_on_from_what_does_not_fit(
    doors: Doors, asked: dict[str, Any], error: type[Exception], reason: str
) -> None:
    doors.ask(CompleteTraining(doors.a_running_training(), 1, a_trained_adapter("team@1")))
    doors.a_running_training()
    with pytest.raises(error, match=reason):
        doors.ask(RequestTraining(doors.a_built_dataset(), "tiny", "team", **asked))


def test_an_adapter_that_is_being_trained_cannot_be_promoted(doors: Doors) -> None:
    doors.a_running_training()
    with pytest.raises(Invalid, match="not there"):
        doors.ask(PromoteAdapter("team@1", "better"))


def test_a_training_can_fail_or_be_cancelled(doors: Doors) -> None:
    failing, cancelled = doors.a_running_training(), doors.a_running_training()
    doors.ask(FailTraining(failing, 1, "out of memory"))
    doors.ask(CancelTraining(cancelled, "not now"))
    assert doors.types()[-2:] == ["training_run.failed", "training_run.cancelled"]


# --- adapters and the roster


def test_an_adapter_is_promoted_and_retired_by_its_name(doors: Doors) -> None:
    doors.ask(CompleteTraining(doors.a_running_training(), 1, a_trained_adapter("team@1")))
    assert doors.ask(PromoteAdapter("team@1", "better")) == adapter_id("team@1")
    doors.ask(RetireAdapter("team@1", "worse"))
    with pytest.raises(AlreadyDone):
        doors.ask(PromoteAdapter("team@1", "better"))
    with pytest.raises(NotFound):
        doors.ask(PromoteAdapter("team@2", "better"))


def test_the_roster_is_revised_from_the_revision_that_was_edited(doors: Doors) -> None:
    with pytest.raises(VersionConflict):
        doors.ask(ReviseRoster('["ada"]', expected_revision=3))
    doors.ask(ReviseRoster('["ada"]'))
    doors.ask(ReviseRoster('["ada", "ben"]', expected_revision=1))
    with pytest.raises(VersionConflict):
        doors.ask(ReviseRoster('["eve"]', expected_revision=1))
    with pytest.raises(PreconditionRequired):
        doors.ask(ReviseRoster('["eve"]'))
    with pytest.raises(Invalid):
        doors.ask(ReviseRoster("[ada"))
    assert doors.types() == ["agent_roster.revised", "agent_roster.revised"]


def test_a_single_agent_is_edited_in_the_revision_that_was_read(doors: Doors) -> None:
    with pytest.raises(NotFound):
        doors.ask(PutAgent("ben", {}, expected_revision=1))
    doors.ask(ReviseRoster('["ada"]'))
    doors.ask(PutAgent("ben", {}, "he joins", expected_revision=1))
    doors.ask(PatchAgent("ben", {"name": "bob"}, expected_revision=ANY))
    doors.ask(RemoveAgent("ada", expected_revision=3))
    with pytest.raises(VersionConflict):
        doors.ask(RemoveAgent("bob", expected_revision=3))
    with pytest.raises(PreconditionRequired):
        doors.ask(PatchAgent("bob", {}))
    roster = doors.store.session(an_envelope()).get(AgentRoster, ROSTER_ID)
    assert (roster.version, roster.text, [agent.name for agent in roster.agents]) == (4, '["bob"]', ["bob"])
