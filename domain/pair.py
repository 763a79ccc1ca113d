"""A pair of answers to one prompt, the better one first, and what makes two answers one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from domain.errors import Invalid
from domain.model_call import Message


class Verdict(StrEnum):
    ACCEPTED = "accepted"
    FLIPPED = "flipped"
    EDITED = "edited"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Completion:
    """One way to go on from a prompt. It ends with an assistant's message; that of a task with several turns holds the
    user's later turns too. `agent` and `step` say who wrote it and where (None: written by hand); of one that was
    imported, `agent` is the model that its file names."""

    messages: tuple[Message, ...]
    agent: str | None = None
    step: UUID | None = None

    def ending_with(self, text: str) -> Completion:
        """The same, with another last message."""
        return replace(self, messages=(*self.messages[:-1], replace(self.messages[-1], content=text)))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ways to go on from one prompt, the better one first."""

    prompt: tuple[Message, ...]
    chosen: Completion
    rejected: Completion

    def under(self, verdict: Verdict) -> Pair:
        """The pair as that verdict on it leaves it."""
        if verdict is Verdict.FLIPPED:
            return replace(self, chosen=self.rejected, rejected=self.chosen)
        return self


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a pair comes from: the run and the ballots on its two answers."""

    run: UUID
    ballots: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an imported pair comes from: the import, which is a job; the SHA-256 (hex) of the file, and the line or row
    in it, counted from 1. `annotator` judged it there, as the file says."""

    import_id: UUID
    sha256: str
    line: int
    annotator: str | None


def weight(probability: float, verdict: Verdict | None) -> float:
    """How much a pair counts in training, from 0 (a coin toss) to 1 (certain, or settled by an annotator)."""
    return 1.0 if verdict else 2 * probability - 1


def must_prefer(probability: float) -> None:
    """Raises Invalid for one outside (0.5, 1]."""
    if not 0.5 < probability <= 1:
        raise Invalid(f"probability {probability} does not prefer one answer; it must lie in (0.5, 1]")


def must_be_a_choice(pair: Pair) -> None:
    """Raises Invalid where nothing could be learnt from it: two times the same, an empty text, or no answer."""
    chosen, rejected = pair.chosen.messages, pair.rejected.messages
    if chosen == rejected:
        raise Invalid("chosen and rejected are the same answer")
    for name, messages in (("prompt", pair.prompt), ("chosen", chosen), ("rejected", rejected)):
        if not messages or not messages[-1].content.strip():
            raise Invalid(f"{name} is empty")
    for name, messages in (("chosen", chosen), ("rejected", rejected)):
        if messages[-1].role != "assistant":
            raise Invalid(
                f"{name} must end with what the assistant says, not with a message of the {messages[-1].role}"
            )
