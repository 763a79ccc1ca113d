"""When two prompts, or two pairs, are the same: by hashes of what they say, less white space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple
from unicodedata import normalize

from domain.dataset_recipe import Contradictions, Duplicates, Recipe
from domain.model_call import Message
from domain.preference import Pair

WHITE_SPACE = b" \t\n\r\v\f"


class Dropped(StrEnum):
    """Why a pair that was proposed is not in a dataset."""

    WITHDRAWN = "withdrawn"
    UNWANTED = "unwanted"
    """It was rejected, or the filter does not take it."""
    OPEN = "open"
    """People are still to settle it."""
    HELD_OUT = "held_out"
    CONTRADICTED = "contradicted"
    DUPLICATE = "duplicate"


def prompt_key(prompt: Sequence[Message]) -> bytes:
    """The SHA-256 of what is asked, whatever the case, by whomever: system messages do not count."""
    return sha256(_said([message for message in prompt if message.role != "system"], str.casefold)).digest()


def choice_key(prompt: bytes, pair: Pair) -> tuple[bytes, bool]:
    """The SHA-256 of the prompt's key and the two answers in an order of their own, and whether the pair has them in
    the other one."""
    chosen, rejected = _said(pair.chosen.messages), _said(pair.rejected.messages)
    swapped = chosen > rejected
    first, second = (rejected, chosen) if swapped else (chosen, rejected)
    return sha256(b"\x1e".join((prompt, first, second))).digest(), swapped


class Rival(NamedTuple):
    """A row among others of the same choice. `number` counts the rows in their order; `swapped` says which of the two
    answers it prefers; `position` is its last event's."""

    number: int
    swapped: bool
    weight: float
    settled: bool
    position: int


def contradict(rivals: Sequence[Rival]) -> bool:
    """Whether some prefer the one answer and some the other."""
    return len({rival.swapped for rival in rivals}) > 1


def losers(rivals: Sequence[Rival], recipe: Recipe) -> Iterator[tuple[int, Dropped]]:
    """Which of the rows of one choice do not stay, and why."""
    left = list(rivals)
    if contradict(rivals) and recipe.contradictions is not Contradictions.KEEP:
        settled = [rival for rival in rivals if rival.settled and recipe.contradictions is Contradictions.SETTLED]
        last = max(settled, key=lambda rival: rival.position, default=None)
        left = [rival for rival in settled if last and rival.swapped == last.swapped]
        yield from ((rival.number, Dropped.CONTRADICTED) for rival in rivals if rival not in left)
    if recipe.duplicates is Duplicates.HEAVIEST:
        for way in (False, True):
            alike = [rival for rival in left if rival.swapped is way]
            best = min(alike, key=lambda rival: (-rival.weight, rival.number), default=None)
            yield from ((rival.number, Dropped.DUPLICATE) for rival in alike if rival is not best)


def _said(messages: Sequence[Message], form: Callable[[str], str] = str) -> bytes:
    """Roles and texts, these in that form and in Unicode's composed one (NFC), less white space."""
    said = "\x1d".join([f"{message.role}\x1f{message.content}" for message in messages])
    if not said.isascii():
        said = normalize("NFC", said)
    return form(said).encode().translate(None, WHITE_SPACE)
