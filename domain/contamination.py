"""Whether a prompt was seen in an evaluation: the same words, or a long run of them.

After Brown et al. 2020 (arXiv:2005.14165), appendix C: runs of 13 words, down to 8 for short texts, whatever the case
and the punctuation. Texts of fewer than 8 words must be the same. Where words have no spaces between them, 13
characters of Han are such a run, which are about 8 words; or 52 letters, where GPT-4's authors (OpenAI 2023,
arXiv:2303.08774, appendix C) took 50 characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from domain.dataset_recipe import Holdout
from domain.model_call import Message
from domain.preference import Pair
from domain.words import LETTERS, letters, words

LONG, SHORT = 13 * LETTERS, 8 * LETTERS
"""Letters of a run, of which a word counts as four."""


@dataclass(slots=True)
class Seen:
    """What the tasks of some holdouts say, to be compared with."""

    whole: set[str] = field(default_factory=set)
    runs: dict[int, set[str]] = field(default_factory=dict)
    """By their length, in letters."""

    @classmethod
    def of(cls, holdouts: Iterable[Holdout]) -> Seen:
        """All their tasks."""
        seen = cls()
        for task in (task for holdout in holdouts for task in holdout.tasks):
            said = words(task)
            sizes = list(map(letters, said))
            seen.whole.add(" ".join(said))
            if sum(sizes) >= SHORT:
                length = min(LONG, sum(sizes))
                seen.runs.setdefault(length, set()).update(_runs(said, sizes, length))
        return seen

    def overlaps(self, pair: Pair) -> bool:
        """Whether something that the user asks in the pair is one of the tasks, or has a long run of words of one."""
        return any(self._knows(words(message.content)) for message in _asked(pair))

    def _knows(self, said: Sequence[str]) -> bool:
        sizes = list(map(letters, said))
        return (bool(said) and " ".join(said) in self.whole) or any(
            not known.isdisjoint(_runs(said, sizes, length)) for length, known in self.runs.items()
        )


def _asked(pair: Pair) -> Iterator[Message]:
    """By the user, in the later turns too."""
    return (message for message in (*pair.prompt, *pair.chosen.messages) if message.role == "user")


def _runs(said: Sequence[str], sizes: Sequence[int], length: int) -> Iterator[str]:
    """From each word on as many as make that length; `sizes` are those of the words."""
    end = held = 0
    for start, size in enumerate(sizes):
        while held < length:
            if end == len(sizes):
                return
            held += sizes[end]
            end += 1
        yield " ".join(said[start:end])
        held -= size
