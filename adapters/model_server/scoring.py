"""How likely a model finds given answers: the mean log-probability of their tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapters.model_server.jobs import Score, ScoreJob, resolve
from adapters.model_server.model import ServedModel, left_padded


def score(model: ServedModel, jobs: Sequence[ScoreJob]) -> None:
    """Settle these jobs, at least one, in one pass of the model."""
    tokens, mask = left_padded([job.prompt + job.answer for job in jobs])
    longest = max(len(job.answer) for job in jobs)
    # The logits at a position are about the token after it: one more to the left, and the last one is of no use.
    logits = model.forward(tokens, mask, [job.adapter for job in jobs], last=longest + 1)
    for job, row in zip(jobs, logits, strict=True):
        counts = torch.tensor(job.scored)
        logprobs = row[-len(job.answer) - 1 : -1][counts].log_softmax(dim=-1)
        of_answer = logprobs.gather(1, torch.tensor(job.answer)[counts][:, None])
        resolve(job.result, Score(float(of_answer.mean()), len(of_answer)))
