"""Looks at everything again: every event, every seal, every anchor, in order, up to the first thing that is wrong.

Nothing that is stored is believed but what a trusted key has signed. Of the newest events it checks what else can be
checked; adapters/sealing/tail.py says what that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from sqlalchemy import Connection, Engine, func, select

from adapters.event_tables import STORED_EVENTS
from adapters.sealing.keys import Keyring
from adapters.sealing.leaves import BEGINNING, END, Leaf, evidence
from adapters.sealing.merkle import CompactRange
from adapters.sealing.seal import Seal, seal_of, seals
from adapters.sealing.tail import tail_faults
from adapters.sealing.tiles import Tiles, TreeDamaged
from adapters.sealing.told import Told
from adapters.sealing.wrong import Wrong

REPORT_EVERY = 1_000
"""Events between two reports of progress."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Report:
    """What was found. `seals` is the number of the last seal that was looked at, `seal` its hash (hex). `sealed` and
    `anchored` are the last positions that are, None where none is; `unsealed` counts the events after `sealed`,
    `compared` those of them that NATS had heard of (None: it was not asked); what NATS had heard goes back to the
    position `heard_from`. `erased` lists the events whose data is gone. Where something is wrong, `problem` says what
    is at `position`; the rest was not read."""

    events: int = 0
    seals: int = 0
    seal: str | None = None
    sealed: int | None = None
    anchors: int = 0
    anchored: int | None = None
    unsealed: int = 0
    compared: int | None = None
    heard_from: int | None = None
    erased: list[int] = field(default_factory=list)
    position: int | None = None
    problem: str | None = None


def verify(
    engine: Engine,
    keyring: Keyring,
    anchors: Sequence[Seal] = (),
    heard: Told | None = None,
    kept: int = 0,
    on_progress: Progress = lambda done, total: None,
    since: Report | None = None,
) -> Report:
    """The log as it is at one moment, against the seals in the database, these anchors, and what NATS had `heard`
    before. `kept` is the number of the newest seal that must be among the anchors, if not 0. `on_progress` is told how
    many events were read, of how many. `since` is the report of an earlier verification that found nothing wrong: what
    it has looked at is not read again, but for the seal and the tree with which it ended."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as db:
        walk = _Walk(db, keyring, on_progress)
        try:
            if since and since.seal:
                walk.begin_after(since.seals, since.seal)
            walk.sealed_events()
            walk.anchors(anchors, kept)
            walk.newest_events(heard)
        except Wrong as wrong:
            walk.report.position, walk.report.problem = wrong.position, wrong.problem
    return walk.report


class _Walk:
    """Along the log, once."""

    def __init__(self, db: Connection, keyring: Keyring, on_progress: Progress) -> None:
        self.report = Report()
        self._db = db
        self._keyring = keyring
        self._on_progress = on_progress
        self._last: Seal | None = None
        self._since = 0
        self._tree = CompactRange()
        self._wrongs: list[Wrong] = []
        self._read_from(BEGINNING)

    def begin_after(self, number: int, hash: str) -> None:
        """Takes the log up to that seal as verified, if the seal is still the one with that hash, and the tree its."""
        seal = seal_of(self._db, number)
        if seal is None or (seal.number, seal.hash.hex()) != (number, hash):
            raise Wrong(1, f"seal {number} is not the one that was verified before: the log was rewritten or replaced")
        if fault := seal.signature_fault(self._keyring):
            raise Wrong(1, fault)
        try:
            self._tree = Tiles(self._db).compact(seal.size)
        except TreeDamaged as damage:
            raise Wrong(1, str(damage)) from damage
        if self._tree.root != seal.root:
            raise Wrong(1, f"the stored tree does not have the root of seal {number}")
        self._last, self._since = seal, number
        self._note(seal)
        self._read_from(seal.last_position + 1)

    def sealed_events(self) -> None:
        """Seal by seal: does it follow the one before, and are its events those that it was made of?"""
        tree = self._tree
        for seal in seals(self._db, after=self._since):
            if fault := self._seal_fault(seal):
                raise Wrong(self._after_last, fault)
            leaves = list(self._upto(seal.last_position))
            longer = tree.extended(leaf.hash for leaf in leaves)
            if (longer.size, longer.root) != (seal.size, seal.root):
                self._wrongs.append(self._alteration(seal, tree, leaves))
            self._raise_first()
            tree, self._last = longer, seal
            self._note(seal)
        try:
            Tiles(self._db).check(tree.size, tree.root)
        except TreeDamaged as damage:
            raise Wrong(self._after_last, str(damage)) from damage

    def anchors(self, anchors: Sequence[Seal], kept: int) -> None:
        """Is every seal that was anchored still there, and the same? And the newest anchor, too?"""
        known = 0
        new = (anchor for anchor in anchors if anchor.number > self._since)
        for anchor in sorted(new, key=lambda seal: seal.number):
            if fault := anchor.signature_fault(self._keyring):
                raise Wrong(known + 1, f"among the anchors, {fault}")
            stored = seal_of(self._db, anchor.number)
            if stored is None:
                missing = (
                    f"seal {anchor.number}, over the events up to {anchor.last_position}, was anchored and is missing"
                )
                raise Wrong(self._after_last, f"{missing}: the log was cut, or an older copy restored")
            if stored.hash != anchor.hash:
                raise Wrong(known + 1, f"seal {anchor.number} is not the one that was anchored: the log was rewritten")
            known = anchor.last_position
            self.report.anchors += 1
            self.report.anchored = known
        newest = max((anchor.number for anchor in anchors), default=0)
        if newest < kept:
            cut = f"seal {kept} was anchored, and the anchors end at {newest}" if newest else "the anchors are missing"
            raise Wrong(known + 1, f"{cut}: they were cut or moved away; name another copy with --anchors")

    def newest_events(self, heard: Told | None) -> None:
        """What is after the last seal, and what NATS heard of."""
        sealed = self._last.last_position if self._last else BEGINNING
        self.report.unsealed = sum(1 for _ in self._upto(END))
        self._wrongs += tail_faults(self._db, sealed, heard or {})
        self._raise_first()
        self.report.compared = None if heard is None else sum(position > sealed for position in heard)
        self.report.heard_from = min(heard, default=None) if heard else None

    def _read_from(self, position: int) -> None:
        here = STORED_EVENTS.c.notification_id >= position
        self._total = self._db.scalar(select(func.count()).select_from(STORED_EVENTS).where(here)) or 0
        self._events = evidence(self._db, first=position)
        self._coming = next(self._events, None)

    def _note(self, seal: Seal) -> None:
        self.report.seals, self.report.seal, self.report.sealed = seal.number, seal.hash.hex(), seal.last_position

    @property
    def _after_last(self) -> int:
        """The first position after the last seal that is sound."""
        return self._last.last_position + 1 if self._last else self._coming.position if self._coming else 1

    def _upto(self, position: int) -> Iterator[Leaf]:
        """The next events up to that position; what is wrong with their data is noted on the way."""
        while (event := self._coming) and event.position <= position:
            self._coming = next(self._events, None)
            self.report.events += 1
            if self.report.events % REPORT_EVERY == 0 or self._coming is None:
                self._on_progress(self.report.events, self._total)
            if fault := event.fault:
                self._wrongs.append(Wrong(event.position, fault))
            if event.erased:
                self.report.erased.append(event.position)
            yield event.leaf

    def _seal_fault(self, seal: Seal) -> str | None:
        """Why it cannot be the next one, if so."""
        number, hash = (self._last.number, self._last.hash) if self._last else (0, None)
        if seal.number != number + 1:
            return f"seal {number + 1} is missing"
        return seal.signature_fault(self._keyring) or (
            f"seal {seal.number} does not follow the seal before it" if seal.previous != hash else None
        )

    def _alteration(self, seal: Seal, tree: CompactRange, found: Sequence[Leaf]) -> Wrong:
        """Where the events differ from those that were sealed: by the stored hashes, if these are the sealed ones."""
        sealed = Tiles(self._db).leaves(tree.size, seal.size)
        if tree.extended(sealed).root == seal.root:
            return difference(seal, sealed, found)
        first = min([seal.first_position, *(leaf.position for leaf in found[:1])])
        changed = f"the events up to {seal.last_position} are not those of seal {seal.number}"
        return Wrong(first, f"one from here on was changed, and the stored hashes with it: {changed}")

    def _raise_first(self) -> None:
        if self._wrongs:
            raise min(self._wrongs, key=lambda wrong: wrong.position)


def difference(seal: Seal, sealed: Sequence[bytes], found: Sequence[Leaf]) -> Wrong:
    """The first event that is not the one that was sealed in its place."""
    pairs = zip(sealed, found, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1].hash, pairs))
    missing_from = found[same - 1].position + 1 if same else seal.first_position
    if same == len(found):
        return Wrong(missing_from, f"an event that was sealed is missing, between here and {seal.last_position}")
    position, hash = found[same]
    if same == len(sealed) or [leaf.hash for leaf in found[same + 1 : same + 2]] == [sealed[same]]:
        return Wrong(position, "it was added after the events around it were sealed")
    if hash in sealed[same:]:
        return Wrong(missing_from, f"an event that was sealed is missing, before {position}")
    return Wrong(position, "its envelope is not the one that was sealed")
