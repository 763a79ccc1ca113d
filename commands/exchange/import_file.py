"""The job that imports a file of judgments. Repeating it adds nothing, wherever it was interrupted: what a row comes to
is asked of the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from uuid import UUID

from commands.imports import ImportJudgments
from commands.policies.held_job import Attempt, PermanentFailure
from domain.errors import NotFound
from domain.events import Actor
from domain.importing import Judgment, Row, SetAside, Tie, policy_of
from domain.job import Json
from domain.ports.events import Beginnings, EventLog, Execute
from domain.ports.imports import ImportFile, ImportFiles, Unreadable
from domain.preference import Preference
from domain.text import excerpt

ROWS_TOGETHER = 200
CHARACTERS_TOGETHER = 1_000_000
"""Of one command: it is one transaction."""
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
            for rows in _together(file.rows()):
                if attempt.called_off:
                    raise Interrupted
                lines = [(row.line, row.read) for row in rows if isinstance(row.read, Judgment)]
                added = self._add(lines, sha256, policy_of(file.form), attempt.job)
                counts.update(rows=len(rows), added=added, known=len(lines) - added)
                counts["ties"] += sum(isinstance(row.read, Tie) for row in rows)
                for row in rows:
                    if isinstance(row.read, SetAside):
                        counts["set_aside"] += 1
                        set_aside(row.line, row.read)
                        if len(faults) < MOST_FAULTS:
                            faults.append({"line": row.line, "reason": excerpt(row.read.reason)})
                attempt.heartbeat(f"{rows[-1].done:.0%}: {counts['rows']:,} rows, {counts['added']:,} pairs added")
        return dict(counts), faults

    def _add(self, lines: Sequence[Line], sha256: str, method: str, import_id: UUID) -> int:
        """How many of them this import has added, be it in an earlier attempt."""
        missing = self._missing(lines)
        if missing:
            requested = self._log.history(import_id)[0]
            command = ImportJudgments(import_id, sha256, method, tuple(missing))
            self._execute(command, requested.followed_by(self._actor))
        return len({(import_id, line) for line, _ in lines} & self._sources(lines))

    def _missing(self, lines: Sequence[Line]) -> list[Line]:
        asked = [id for _, judgment in lines for id in (judgment.id, judgment.known_as) if id]
        known = {recorded.event.originator_id for recorded in self._beginnings(asked)}
        return [each for each in lines if not known.intersection((each[1].id, each[1].known_as))]

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
        characters += row.read.characters if isinstance(row.read, Judgment) else 0
        if len(held) == ROWS_TOGETHER or characters > CHARACTERS_TOGETHER:
            yield held
            held, characters = [], 0
    if held:
        yield held
