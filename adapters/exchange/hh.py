"""Transcripts as in HH-RLHF (https://huggingface.co/datasets/Anthropic/hh-rlhf): two dialogues that begin alike, each
one text with `Human:` and `Assistant:` at the beginning of paragraphs.
"""

from __future__ import annotations

import re

from adapters.exchange.fields import Raw, Unfit, text
from adapters.exchange.trl import from_conversations
from domain.importing import Judgment, Tie
from domain.model_call import Message

_TURN = re.compile(r"\n\n(Human|Assistant):")
ROLES = {"Human": "user", "Assistant": "assistant"}


def recognises(raw: Raw) -> bool:
    """Whether both are transcripts."""
    return all(isinstance(said := raw.get(field), str) and _TURN.match(said) for field in ("chosen", "rejected"))


def judgment(raw: Raw) -> Judgment | Tie:
    """Raises Unfit."""
    return Judgment(from_conversations(_turns(raw, "chosen"), _turns(raw, "rejected")))


def _turns(raw: Raw, field: str) -> tuple[Message, ...]:
    before, *turns = _TURN.split(text(raw, field))
    if before.strip() or not turns:
        raise Unfit(f"{field} does not begin with a paragraph `Human:`")
    return tuple(Message(ROLES[who], said.strip()) for who, said in zip(turns[::2], turns[1::2], strict=True))
