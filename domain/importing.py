"""What is imported: judgments that were passed elsewhere, read from files. A judgment becomes a preference whose id
follows from what it says, so that it is known again in whatever file it comes.

Each form of file has a policy of its own, `imported/<form>/1`: one judge's word, taken at the weight that the file
gives it, or in full. The rules for ballots, and how many judges they need, are not for these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from uuid import UUID, uuid5

from domain.model_call import Message
from domain.preference import Pair, Preference

IMPORTED = UUID("6d0c3b52-0a0e-5f9b-8c39-5c1d5f0f7a11")
"""The namespace of the ids of imported preferences."""
AUTO = "auto"
"""In place of a form's name: to be recognised by the first rows."""


@dataclass(frozen=True)
class Judgment:
    """Of two ways to go on, which one somebody found better. `probability` and `margin` as a preference has them.
    `known_as`: the preference that this was in the Caravan which wrote the file."""

    pair: Pair
    probability: float = 1.0
    margin: float = 0.0
    annotator: str | None = None
    known_as: UUID | None = None

    @cached_property
    def id(self) -> UUID:
        """Of its preference: the same for the same texts and the same annotator."""
        said = [[(message.role, message.content) for message in part] for part in _parts(self.pair)]
        return uuid5(IMPORTED, json.dumps([*said, self.annotator], ensure_ascii=False))

    def says(self, pair: Pair) -> bool:
        """Whether it is of these texts, and prefers the same answer."""
        return _parts(self.pair) == _parts(pair)


class Known(Enum):
    """What the log knows of a judgment."""

    NOTHING = auto()
    ALL = auto()
    OTHERWISE = auto()
    """The preference that its file names never stood as the file has it: somebody changed it on the way."""


@dataclass(frozen=True, slots=True)
class Tie:
    """The two are as good as each other: there is nothing to learn from it, and nothing wrong with it."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that makes no pair, and why. `text` is the row as it was, or its beginning."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file. `line` counts from 1; `done`, from 0 to 1, is how much of the file has been read; `text` is
    the row as it was, or its beginning."""

    line: int
    done: float
    text: str
    read: Judgment | Tie | SetAside


def policy_of(form: str) -> str:
    """The method of preferences that were imported from that form."""
    return f"imported/{form}/1"


def changed_elsewhere(judgment: Judgment) -> str:
    """What is told of a judgment that is known otherwise."""
    return (
        f"pair {judgment.known_as} is known with other texts, or the other way round: say so of the pair itself, e.g. "
        f"with `caravan annotate`; or take preference_id out of the row, to import it as a judgment of its own"
    )


def stood_as(history: Iterable[object]) -> Iterator[Pair]:
    """The pair after each event of a preference that says how it stands."""
    for event in history:
        match event:
            case Preference.Proposed() | Preference.Annotated() | Preference.Undone():
                yield event.pair
            case Preference.Revised():
                yield event.standing or event.pair


def _parts(pair: Pair) -> tuple[tuple[Message, ...], ...]:
    return pair.prompt, pair.chosen.messages, pair.rejected.messages
