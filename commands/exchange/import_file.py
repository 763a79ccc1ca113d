"""The job that imports a file of judgments. Repeating it adds nothing, wherever it was interrupted: what a row comes to
is asked of the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from commands.exchange.known import known
from commands.imports import ImportJudgments
from commands.policies.held_job import Attempt, PermanentFailure
from domain.errors import NotFound
from domain.events import Actor
from domain.importing import Judgment, Known, Row, SetAside, Tie, changed_elsewhere, policy_of
from domain.job import Json
from domain.ports.events import Beginnings, EventLog, Execute
from domain.ports.imports import ImportFile, ImportFiles, Unreadable
from domain.preference import Preference
from domain.text import excerpt

ROWS_TOGETHER = 200
CHARACTERS_TOGETHER = 1_000_000
"""Of the rows of one command: it is one transaction."""
MOST_FAULTS = 20
"""Of what was set aside, so much is told in the job's result as well."""

Line = tuple[int, Judgment]


class ImportFileJob:
    """For each row: proposes its pair, or notes that it is known, a tie, or to be set aside."""

    def __init__(
        self, log: EventLog, beginnings: Beginnings, files: ImportFiles, execute: Execute, actor: Actor
    ) -> None:
        self._log = log
        self._beginnings = beginnings
        self._files = files
        self._execute = execute
        self._actor = actor

    def __call__(self, payload: Json, attempt: Attempt) -> Json:
        """What became of the rows. Raises PermanentFailure for a file that cannot be imported."""
        try:
            file = self._files.open(payload["sha256"], payload["form"])
            counts, faults = self._all(file, payload["sha256"], attempt)
        except (Unreadable, NotFound) as hopeless:
            raise PermanentFailure(str(hopeless)) from hopeless
        return {**payload, "form": file.form, "method": policy_of(file.form), **counts, "faults": faults}

    def _all(self, file: ImportFile, sha256: str, attempt: Attempt) -> tuple[Json, list[Json]]:
        counts: Counter[str] = Counter(rows=0, added=0, known=0, ties=0, set_aside=0)
        faults: list[Json] = []
        with self._files.setting_aside(attempt.job) as set_aside:
            for read in _together(file.rows()):
                if attempt.called_off:
                    raise Interrupted
                rows, missing = self._compared(read)
                if missing:
                    self._propose(missing, sha256, policy_of(file.form), attempt.job)
                judged = [(row.line, row.read) for row in rows if isinstance(row.read, Judgment)]
                added = self._added(judged, attempt.job)
                counts.update(rows=len(rows), added=added, known=len(judged) - added)
                counts["ties"] += sum(isinstance(row.read, Tie) for row in rows)
                for row in rows:
                    if isinstance(row.read, SetAside):
                        counts["set_aside"] += 1
                        set_aside(row.line, row.read)
                        if len(faults) < MOST_FAULTS:
                            faults.append({"line": row.line, "reason": excerpt(row.read.reason)})
                attempt.heartbeat(f"{rows[-1].done:.0%}: {counts['rows']:,} rows, {counts['added']:,} pairs added")
        return dict(counts), faults

    def _compared(self, rows: Sequence[Row]) -> tuple[list[Row], list[Line]]:
        """The rows, of which those are set aside now that somebody changed on the way; and the judgments that are
        new."""
        judged = [(row, row.read) for row in rows if isinstance(row.read, Judgment)]
        found = known([judgment for _, judgment in judged], self._beginnings, self._log.history)
        changed: dict[int, SetAside] = {}
        missing: list[Line] = []
        for (row, judgment), what in zip(judged, found, strict=True):
            if what is Known.OTHERWISE:
                changed[row.line] = SetAside(changed_elsewhere(judgment), row.text)
            elif what is Known.NOTHING:
                missing.append((row.line, judgment))
        return [replace(row, read=changed.get(row.line, row.read)) for row in rows], missing

    def _propose(self, lines: Sequence[Line], sha256: str, method: str, import_id: UUID) -> None:
        requested = self._log.history(import_id)[0]
        command = ImportJudgments(import_id, sha256, method, tuple(lines))
        self._execute(command, requested.followed_by(self._actor))

    def _added(self, lines: Sequence[Line], import_id: UUID) -> int:
        """How many of them this import has added, be it in an earlier attempt."""
        return len({(import_id, line) for line, _ in lines} & self._sources(lines))

    def _sources(self, lines: Sequence[Line]) -> set[tuple[UUID, int]]:
        proposals = (recorded.event for recorded in self._beginnings([judgment.id for _, judgment in lines]))
        sources = (event.source for event in proposals if isinstance(event, Preference.Proposed))
        return {(source.import_id, source.line) for source in sources if source}


class Interrupted(Exception):
    """The attempt was called off."""


def _together(rows: Iterator[Row]) -> Iterator[list[Row]]:
    held: list[Row] = []
    characters = 0
    for row in rows:
        held.append(row)
        characters += len(row.text)
        if len(held) == ROWS_TOGETHER or characters > CHARACTERS_TOGETHER:
            yield held
            held, characters = [], 0
    if held:
        yield held
