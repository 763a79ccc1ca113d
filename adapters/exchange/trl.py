"""TRL's preference formats: explicit (`prompt`, `chosen`, `rejected`) and implicit (the prompt begins both), each of
conversations or of plain text. https://huggingface.co/docs/trl/dataset_formats#preference

What the prompt of an implicit row is follows `trl.extract_prompt` to the letter; importing TRL takes seconds.
"""

from __future__ import annotations

from adapters.exchange.fields import Raw, Unfit, conversation, text
from domain.importing import Judgment, Tie
from domain.model_call import Message
from domain.preference import Completion, Pair


def recognises(raw: Raw) -> bool:
    """Whether it has TRL's columns."""
    return all(isinstance(raw.get(field), str | list) for field in ("chosen", "rejected"))


def judgment(raw: Raw) -> Judgment | Tie:
    """Raises Unfit."""
    return Judgment(pair(raw))


def pair(raw: Raw) -> Pair:
    """The pair in TRL's columns. Raises Unfit."""
    conversational = isinstance(raw.get("chosen"), list)
    if isinstance(raw.get("rejected"), list) is not conversational:
        raise Unfit("of chosen and rejected one is a conversation and the other is not")
    if "prompt" in raw and isinstance(raw["prompt"], list) is conversational:
        return _explicit(raw, conversational)
    if "prompt" in raw and not conversational:
        raise Unfit("prompt is a conversation, but chosen and rejected are not")
    return (
        from_conversations(conversation(raw, "chosen"), conversation(raw, "rejected"))
        if conversational
        else _plain(raw)
    )


def _explicit(raw: Raw, conversational: bool) -> Pair:
    if conversational:
        prompt, chosen, rejected = (conversation(raw, field) for field in ("prompt", "chosen", "rejected"))
        return Pair(prompt, Completion(chosen), Completion(rejected))
    return pair_of_texts(text(raw, "prompt"), text(raw, "chosen"), text(raw, "rejected"))


def from_conversations(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> Pair:
    """What both begin with is the prompt; a `prompt` column beside them repeats it. Raises Unfit."""
    shared = _shared(chosen, rejected)
    if not shared:
        raise Unfit("chosen and rejected do not begin with the same message, and there is no prompt")
    return Pair(chosen[:shared], Completion(chosen[shared:]), Completion(rejected[shared:]))


def _plain(raw: Raw) -> Pair:
    chosen, rejected = text(raw, "chosen"), text(raw, "rejected")
    shared = _shared(chosen, rejected)
    if shared and chosen[shared] != rejected[shared] and chosen[shared - 1] == " ":  # it belongs to what follows
        shared -= 1
    if not shared:
        raise Unfit("chosen and rejected do not begin with the same text, and there is no prompt")
    return pair_of_texts(chosen[:shared], chosen[shared:], rejected[shared:])


def pair_of_texts(
    prompt: str, chosen: str, rejected: str, agents: tuple[str | None, str | None] = (None, None)
) -> Pair:
    """A user's words and two answers, by these models."""
    answers = (
        Completion((Message("assistant", said),), by) for said, by in zip((chosen, rejected), agents, strict=True)
    )
    return Pair((Message("user", prompt),), *answers)


def _shared(one: tuple[Message, ...] | str, other: tuple[Message, ...] | str) -> int:
    """How many both begin with. As TRL has it, neither is used up: something is left of the shorter one."""
    shortest = min(len(one), len(other))
    return next((n for n in range(shortest) if one[n] != other[n]), shortest - 1 if shortest else 0)
