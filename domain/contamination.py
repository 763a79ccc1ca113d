"""Whether a prompt was seen in an evaluation: the same words, or a long run of them.

After Brown et al. 2020 (arXiv:2005.14165), appendix C: runs of 13 words, down to 8 for short texts, whatever the case
and the punctuation. Texts of fewer than 8 words must be the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from domain.dataset_recipe import Holdout
from domain.model_call import Message
from domain.preference import Pair

LONG, SHORT = 13, 8
"""Words of a run."""
_WORD = re.compile(r"\w+")


@dataclass(slots=True)
class Seen:
    """What the tasks of some holdouts say, to be compared with."""

    whole: set[str] = field(default_factory=set)
    runs: dict[int, set[str]] = field(default_factory=dict)
    """By their length, in words."""

    @classmethod
    def of(cls, holdouts: Iterable[Holdout]) -> Seen:
        """All their tasks."""
        seen = cls()
        for task in (task for holdout in holdouts for task in holdout.tasks):
            words = _words(task)
            seen.whole.add(" ".join(words))
            if len(words) >= SHORT:
                length = min(LONG, len(words))
                seen.runs.setdefault(length, set()).update(_runs(words, length))
        return seen

    def overlaps(self, pair: Pair) -> bool:
        """Whether something that the user asks in the pair is one of the tasks, or has a long run of words of one."""
        return any(self._knows(_words(message.content)) for message in _asked(pair))

    def _knows(self, words: Sequence[str]) -> bool:
        return (bool(words) and " ".join(words) in self.whole) or any(
            not known.isdisjoint(_runs(words, length)) for length, known in self.runs.items()
        )


def _asked(pair: Pair) -> Iterator[Message]:
    """By the user, in the later turns too."""
    return (message for message in (*pair.prompt, *pair.chosen.messages) if message.role == "user")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(words: Sequence[str], length: int) -> Iterator[str]:
    return (" ".join(words[at : at + length]) for at in range(len(words) - length + 1))
