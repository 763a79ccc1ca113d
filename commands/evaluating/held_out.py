"""What an evaluation asks about: pairs and prompts that no contestant was trained on, drawn by a seed."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from operator import itemgetter
from uuid import UUID

from domain.evaluation import BASE, Plan, Subject
from domain.lora_adapter import LoraAdapter, Passport, adapter_id
from domain.model_call import Message
from domain.ports.datasets import DatasetPairs, HeldPair
from domain.ports.events import EventLog
from domain.sameness import prompt_key
from domain.weighting import WEIGHED_LOSS, heaviest, lot_of


@dataclass(frozen=True, slots=True)
class HeldOut:
    """`pairs` to be scored and `prompts` to be answered. `seen`: so many pairs were left out, since a contestant was
    trained on their prompt."""

    pairs: tuple[HeldPair, ...]
    prompts: tuple[tuple[Message, ...], ...]
    seen: int


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """A dataset, and how many of its pairs a training took at the most; None: any of them."""

    dataset_id: UUID
    most_pairs: int | None


def held_out(subject: Subject, plan: Plan, datasets: DatasetPairs, trained_on: Collection[TrainedOn]) -> HeldOut:
    """Drawn by the hash of each with the seed, so that it matters neither how many there are nor in which order, nor
    to the prompts how many pairs are scored. In memory are the hashes of the prompts that were trained on, the numbers
    of their pairs, and what is drawn. Blocks."""
    known = frozenset(_seen(subject, datasets, trained_on))
    pairs, prompts, left_out = _Draw(plan.pairs), _Draw(plan.prompts), 0
    for pair in datasets.pairs(subject.dataset_id, subject.part):
        key, lot = prompt_key(pair.prompt), _lot(plan.seed, pair.preference_id.bytes)
        if key in known:
            left_out += 1
        else:
            pairs.offer(lot, lot, pair)
            prompts.offer(_lot(plan.seed, key), lot, pair)
    return HeldOut(pairs.drawn, tuple(pair.prompt for pair in prompts.drawn), left_out)


def trainings_of(subject: Subject, log: EventLog) -> frozenset[TrainedOn]:
    """What the contestants were trained on, and the adapters that they went on from. Of an older one, which took its
    pairs by another rule, any may have been taken."""
    found: set[TrainedOn] = set()
    names = [subject.adapter, subject.against]
    while names:
        name = names.pop()
        passport = None if name == BASE else _passport(name, log)
        if passport:
            most_pairs = passport.config.max_pairs if passport.weighting == WEIGHED_LOSS else None
            found.add(TrainedOn(passport.dataset_id, most_pairs))
            if passport.start_from:
                names.append(passport.start_from.adapter)
    return frozenset(found)


def _passport(name: str, log: EventLog) -> Passport | None:
    events = (recorded.event for recorded in log.history(adapter_id(name)))
    return next((event.passport for event in events if isinstance(event, LoraAdapter.Registered)), None)


def _seen(subject: Subject, datasets: DatasetPairs, trained_on: Collection[TrainedOn]) -> Iterator[bytes]:
    """A prompt is in one part of a dataset alone, so the parts of one need no comparison."""
    for training in trained_on:
        if training.dataset_id != subject.dataset_id or subject.part == datasets.trained_part:
            pairs = partial(datasets.pairs, training.dataset_id, datasets.trained_part)
            taken = None if training.most_pairs is None else _taken(pairs(), training.most_pairs)
            for number, pair in enumerate(pairs()):
                if taken is None or number in taken:
                    yield prompt_key(pair.prompt)


def _taken(pairs: Iterable[HeldPair], most: int) -> frozenset[int]:
    """Which of them a training took, by their numbers."""
    weighed = ((number, pair.weight, lot_of(pair.preference_id)) for number, pair in enumerate(pairs))
    return frozenset(number for number, *_ in heaviest(weighed, itemgetter(1), itemgetter(2), most))


class _Draw:
    """The lowest lots, at most so many, and of what is offered for each the one of the lowest rank."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lots: list[bytes] = []
        self._best: dict[bytes, tuple[bytes, HeldPair]] = {}

    @property
    def drawn(self) -> tuple[HeldPair, ...]:
        """By their lots."""
        return tuple(self._best[lot][1] for lot in self._lots)

    def offer(self, lot: bytes, rank: bytes, pair: HeldPair) -> None:
        offered = rank, pair
        if lot not in self._best:
            insort(self._lots, lot)
        self._best[lot] = min(self._best.get(lot, offered), offered, key=itemgetter(0))
        if len(self._lots) > self._most:
            del self._best[self._lots.pop()]


def _lot(seed: int, what: bytes) -> bytes:
    return sha256(b"%d/%s" % (seed, what)).digest()
