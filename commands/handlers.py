"""Which handler answers which command: the whole of what may be asked, at a glance."""

from __future__ import annotations

from collections.abc import Collection

from commands import datasets, lora_adapters, preferences, roster, training, workflows
from commands.bus import Handler
from domain.ports import RosterFormat


def handlers(kinds: Collection[str], roster_format: RosterFormat, base_models: Collection[str]) -> dict[type, Handler]:
    """`kinds`: the kinds of runs that workers know how to play. `base_models`: those that trainers have."""
    return {
        workflows.RequestWorkflow: workflows.Requesting(kinds),
        workflows.StartWorkflow: workflows.start,
        workflows.RecordStep: workflows.record_step,
        workflows.CastBallot: workflows.cast_ballot,
        workflows.CompleteWorkflow: workflows.complete,
        workflows.FailWorkflow: workflows.fail,
        workflows.StopWorkflow: workflows.stop,
        preferences.ProposePreference: preferences.propose,
        preferences.AnnotatePreference: preferences.annotate,
        preferences.RevisePreference: preferences.revise,
        preferences.WithdrawPreference: preferences.withdraw,
        datasets.RequestDataset: datasets.request,
        datasets.DatasetBuilt: datasets.built,
        training.RequestTraining: training.Requesting(base_models),
        training.StartTraining: training.start,
        training.RecordProgress: training.progress,
        training.CompleteTraining: training.complete,
        training.FailTraining: training.fail,
        training.CancelTraining: training.cancel,
        lora_adapters.PromoteAdapter: lora_adapters.promote,
        lora_adapters.RetireAdapter: lora_adapters.retire,
        roster.ReviseRoster: roster.Revising(roster_format),
    }
