"""The answers being written now: rows join when there is room and leave when they end, each at its own time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from loguru import logger
from tokenizers import Tokenizer
from torch import Tensor

from adapters.model_server.constrained import Logits
from adapters.model_server.jobs import ChatJob, Completion, FinishReason, reject, resolve
from adapters.model_server.lanes import Lanes
from adapters.model_server.model import ServedModel, left_padded
from adapters.model_server.sampling import Sampler
from adapters.model_server.text import TextStream


class Row:
    """One answer while it is written. Its tokens depend on its own logits and its own random generator only."""

    def __init__(self, job: ChatJob, tokenizer: Tokenizer, end_tokens: frozenset[int]) -> None:
        self.job = job
        self.tokens: list[int] = []
        self._end_tokens = end_tokens
        self._sampler = Sampler(job.sampling)
        self._text = TextStream(tokenizer, job.stop)

    def take(self, logits: Logits) -> bool:
        """Choose the next token from logits [vocabulary]; whether the answer goes on after it.

        Settles the job's result when it does not. What fails here fails this row alone.
        """
        if self.job.result.cancelled():
            return False
        try:
            finish_reason = self._next(logits)
            if finish_reason:
                self._show(self._text.flush())
                resolve(self.job.result, Completion(self._text.text, finish_reason, len(self.tokens)))
        except Exception as error:
            logger.exception("an answer failed while it was written")
            reject(self.job.result, error)
            return False
        return finish_reason is None

    def _next(self, logits: Logits) -> FinishReason | None:
        constraint = self.job.constraint
        token = self._sampler.choose(constraint.allow(logits) if constraint else logits)
        self.tokens.append(token)
        if token in self._end_tokens:
            return "stop"
        if constraint:
            constraint.accept(token)
        self._show(self._text.push(token))
        if self._text.stopped or (constraint and constraint.complete):
            return "stop"
        return "length" if len(self.tokens) >= self.job.max_tokens else None

    def _show(self, piece: str) -> None:
        if piece:
            self.job.on_text(piece)


class DecodeBatch:
    """Rows that advance by one token each in one pass of the model."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._rows: list[Row] = []
        self._lanes: Lanes | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def jobs(self) -> list[ChatJob]:
        """What is being answered."""
        return [row.job for row in self._rows]

    def admit(self, jobs: Sequence[ChatJob]) -> None:
        """Read the prompts of these jobs, at least one, and let them join."""
        tokenizer, end_tokens = self._model.tokenizer.backend_tokenizer, self._model.end_tokens
        newcomers = [Row(job, tokenizer, end_tokens) for job in jobs]
        tokens, mask = left_padded([job.prompt for job in jobs])
        lanes = Lanes(self._model.new_cache(), mask)
        logits = self._model.forward(tokens, mask, [job.adapter for job in jobs], last=1, cache=lanes.cache)
        alive = _advance(newcomers, logits)
        if not alive:
            return
        lanes.keep(alive)
        if self._lanes is None:
            self._lanes = lanes
        else:
            self._lanes.join(lanes)
        self._rows += [newcomers[index] for index in alive]

    def step(self) -> None:
        """Give every row its next token; those that end, or were cancelled, leave."""
        if self._lanes is None:
            return
        self._lanes.extend()
        logits = self._model.forward(
            torch.tensor([row.tokens[-1:] for row in self._rows]),
            self._lanes.mask,
            [row.job.adapter for row in self._rows],
            last=1,
            cache=self._lanes.cache,
        )
        alive = _advance(self._rows, logits)
        if not alive:
            self._rows, self._lanes = [], None
        elif len(alive) < len(self._rows):
            self._rows = [self._rows[index] for index in alive]
            self._lanes.keep(alive)

    def abandon(self, error: BaseException) -> None:
        """Fail every row, after the model itself failed."""
        for job in self.jobs:
            reject(job.result, error)
        self._rows, self._lanes = [], None


def _advance(rows: Sequence[Row], logits: Tensor) -> list[int]:
    """Let each row take its logits; the indices of those that go on."""
    last = logits[:, -1].numpy()
    return [index for index, row in enumerate(rows) if row.take(last[index])]
