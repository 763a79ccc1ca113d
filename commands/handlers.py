"""Which handler answers which command: the whole of what may be asked, at a glance."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from commands import (
    batches,
    datasets,
    evaluations,
    forks,
    imports,
    jobs,
    lora_adapters,
    preferences,
    roster,
    rubrics,
    training,
    workflows,
)
from commands.bus import Handler
from commands.job_kinds import JOB_KINDS
from domain.job import JobKind
from domain.ports.roster import RosterFormat


def handlers(
    kinds: Mapping[str, workflows.Castable],
    roster_format: RosterFormat,
    base_models: Collection[str],
    job_kinds: Mapping[str, JobKind] = JOB_KINDS,
    code: str = "",
) -> dict[type, Handler]:
    """`kinds`: the kinds of runs that workers know how to play. `base_models`: those that trainers have. `code`: the
    version of Caravan."""
    revising = roster.Revising(roster_format)
    return {
        workflows.RequestWorkflow: workflows.Requesting(kinds),
        workflows.StartWorkflow: workflows.start,
        workflows.BeginStep: workflows.begin_step,
        workflows.RecordStep: workflows.record_step,
        workflows.RecordTool: workflows.record_tool,
        workflows.CastBallot: workflows.cast_ballot,
        workflows.ReportWorkforce: workflows.report,
        workflows.CompleteWorkflow: workflows.complete,
        workflows.FailWorkflow: workflows.fail,
        workflows.EndAtLimit: workflows.end_at_limit,
        workflows.ReleaseWorkflow: workflows.release,
        workflows.PauseWorkflow: workflows.pause,
        workflows.ResumeWorkflow: workflows.resume,
        workflows.RetryWorkflow: workflows.retry,
        workflows.StopWorkflow: workflows.stop,
        batches.RequestBatch: batches.Requesting(kinds),
        batches.NoteRun: batches.note,
        batches.PauseBatch: batches.pause,
        batches.ResumeBatch: batches.resume,
        batches.RetryBatch: batches.retry,
        batches.StopBatch: batches.stop,
        forks.ForkWorkflow: forks.Forking(roster_format),
        preferences.ProposePreference: preferences.propose,
        preferences.AnnotatePreference: preferences.annotate,
        preferences.RevisePreference: preferences.revise,
        preferences.UndoOpinion: preferences.undo,
        preferences.SkipPreference: preferences.skip,
        preferences.AssignPreference: preferences.assign,
        preferences.UnassignPreference: preferences.unassign,
        preferences.NotePreference: preferences.note,
        preferences.WithdrawPreference: preferences.withdraw,
        rubrics.PublishRubric: rubrics.publish,
        imports.ImportJudgments: imports.add,
        imports.WithdrawPreferences: imports.withdraw,
        datasets.RequestDataset: datasets.request,
        datasets.DatasetBuilt: datasets.built,
        training.RequestTraining: training.Requesting(base_models),
        training.ReproduceAdapter: training.Reproducing(base_models, code),
        training.StartTraining: training.start,
        training.RecordProgress: training.progress,
        training.CompleteTraining: training.complete,
        training.FailTraining: training.fail,
        training.CancelTraining: training.cancel,
        lora_adapters.PromoteAdapter: lora_adapters.promote,
        lora_adapters.RollBackAdapter: lora_adapters.roll_back,
        lora_adapters.RetireAdapter: lora_adapters.retire,
        evaluations.RequestEvaluation: evaluations.request,
        evaluations.CompleteEvaluation: evaluations.complete,
        evaluations.FailEvaluation: evaluations.fail,
        evaluations.CancelEvaluation: evaluations.cancel,
        roster.ReviseRoster: revising.revise,
        roster.PutAgent: revising.put,
        roster.PatchAgent: revising.patch,
        roster.RemoveAgent: revising.remove,
        jobs.RequestJob: jobs.Requesting(job_kinds),
        jobs.StartJob: jobs.start,
        jobs.ProgressJob: jobs.progress,
        jobs.SucceedJob: jobs.succeed,
        jobs.FailJobAttempt: jobs.fail,
        jobs.ReleaseJob: jobs.release,
        jobs.ReplayJob: jobs.replay,
        jobs.CancelJob: jobs.cancel,
    }
