"""Drafts of a dataset's lines: what each preference by itself comes to, before pairs are compared with each other.

A draft follows from its own life alone. So several may draft at once, and what they draft is the same however it is
shared out among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple
from uuid import UUID

from domain.contamination import Seen
from domain.dataset_contents import UNSETTLED
from domain.dataset_recipe import Filter, Recipe
from domain.dataset_rows import Row, is_wanted, row
from domain.dataset_tally import Traits
from domain.events import Life
from domain.model_call import Message
from domain.sameness import Dropped, choice_key, prompt_key

LIVES = 1_000
"""Of a page."""


class Draft(NamedTuple):
    """A line that may stay. `choice` is the key of what it chooses from, and `swapped` says which of the two answers it
    prefers; `position` is its last event's."""

    choice: bytes
    swapped: bool
    weight: float
    settled: bool
    position: int
    traits: Traits
    line: bytes


@dataclass(slots=True)
class Page:
    """The drafts of some lives, in order; how many of them are not wanted, by reason; the pairs that overlap with an
    evaluation, be they left out or not; and at which position the last of these lives began."""

    drafts: list[Draft] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=Counter)
    overlapping: list[UUID] = field(default_factory=list)
    reached: int = 0


class Drafting:
    """For one dataset."""

    def __init__(self, filter: Filter, recipe: Recipe) -> None:
        self._filter = filter
        self._recipe = recipe
        self._seen = Seen.of(recipe.holdouts)
        self._shunned = Seen.of(held for held in recipe.holdouts if held.drop)

    def pages(self, lives: Iterable[Life], size: int = LIVES) -> Iterator[Page]:
        """Of so many lives each. Raises ValueError for what is no preference's life."""
        coming = iter(lives)
        for first in coming:
            yield self.page(chain((first,), islice(coming, size - 1)))

    def page(self, lives: Iterable[Life]) -> Page:
        """Of all of them. Raises the same."""
        page = Page()
        for life in lives:
            page.reached = life.began
            found = row(life)
            if found is None:
                page.dropped[Dropped.WITHDRAWN] += 1
            elif not is_wanted(found, self._filter):
                page.dropped[Dropped.UNWANTED] += 1
            elif found.open and not self._recipe.takes_open_pairs:
                page.dropped[Dropped.OPEN] += 1
            elif self._recipe.holdouts and self._leaves_out(found, page):
                page.dropped[Dropped.HELD_OUT] += 1
            else:
                page.drafts.append(self._draft(found))
        return page

    def _leaves_out(self, row: Row, page: Page) -> bool:
        """Names it where it overlaps."""
        if not self._seen.overlaps(row.pair):
            return False
        page.overlapping.append(row.preference_id)
        return self._shunned.overlaps(row.pair)

    def _draft(self, row: Row) -> Draft:
        prompt = prompt_key(row.pair.prompt)
        choice, swapped = choice_key(prompt, row.pair)
        traits = _traits(row, self._recipe.part_of(prompt))
        line = row.line(self._recipe.builder)
        return Draft(choice, swapped, row.weight, row.verdict is not None, row.position, traits, line)


def _traits(row: Row, part: str) -> Traits:
    pair, verdict = row.pair, row.verdict
    characters = (_characters(pair.prompt), _characters(pair.chosen.messages), _characters(pair.rejected.messages))
    return Traits(part, verdict.value if verdict else UNSETTLED, row.method, characters)


def _characters(messages: tuple[Message, ...]) -> int:
    return sum([len(message.content) for message in messages])
