"""The preference pairs of one training: read and checked, the heaviest taken, and drawn as often as they weigh.

TRL's DPO counts every pair alike; it knows no weight per example. So weights act through how often a pair is drawn: one
of weight 0.5 half as often as one of weight 1. In expectation that is the gradient of the weighted mean loss.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError


class BadDataset(ValueError):
    """The file is not the dataset that the job names, or nothing can be learned from it."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a chat, as TRL's conversational columns hold it."""

    role: str
    content: str


Messages = Annotated[tuple[ChatMessage, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class WeightedPair:
    """One row of a dataset; its lineage columns play no part in training. `weight` lies in [0, 1]."""

    prompt: Messages
    chosen: Messages
    rejected: Messages
    weight: Annotated[float, Field(ge=0, le=1)] = 1.0


def read_pairs(file: Path, sha256: str) -> list[WeightedPair]:
    """All rows of a JSON Lines file. Raises BadDataset, which names the first bad line, and OSError."""
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise BadDataset(f"{file.name} has sha256 {found}, but the job names {sha256}: build the dataset again")
    return [_read_pair(line, f"{file.name}, line {n}") for n, line in enumerate(content.splitlines(), start=1)]


def heaviest(pairs: Sequence[WeightedPair], limit: int) -> list[WeightedPair]:
    """The `limit` pairs that weigh most, in their own order; of equal ones the earlier. Weight 0 is never taken.

    Raises BadDataset when nothing is left.
    """
    by_weight = sorted(range(len(pairs)), key=lambda i: -pairs[i].weight)
    taken = [pairs[i] for i in sorted(by_weight[:limit]) if pairs[i].weight > 0]
    if not taken:
        raise BadDataset(f"none of its {len(pairs)} pairs has a weight above 0: there is nothing to learn")
    return taken


def weighted_order(weights: Sequence[float], draws: int, seed: int) -> list[int]:
    """Indices of the pairs in the order of training, each about `draws * weight / sum(weights)` times.

    Stride scheduling: appearance n of a pair falls due at a random moment of its n-th stride, which is as long as
    1 / weight. Equal weights give the usual shuffled epochs; `weights` are above 0. The seed decides everything.
    """
    chance = random.Random(seed)  # noqa: S311 - a shuffle, not a secret
    due = [(chance.random() / weight, index, 1) for index, weight in enumerate(weights)]
    heapq.heapify(due)
    order = []
    for _ in range(draws):
        _, index, seen = due[0]
        order.append(index)
        heapq.heapreplace(due, ((seen + chance.random()) / weights[index], index, seen + 1))
    return order


def _read_pair(line: bytes, where: str) -> WeightedPair:
    try:
        pair = _PAIR.validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(map(str, first["loc"]))
        raise BadDataset(f"{where}: {column + ': ' if column else ''}{first['msg']}") from error
    if not pair.chosen[-1].role == pair.rejected[-1].role == "assistant":
        raise BadDataset(f"{where}: chosen and rejected must end with the assistant's message")
    return pair


_PAIR = TypeAdapter(WeightedPair)
