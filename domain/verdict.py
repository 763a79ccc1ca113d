"""A verdict: what a judge is told to answer when it is shown two answers, A and B, and how its words are read.

Read from the recorded output and from nothing else, so that a run taken over reads the same verdict again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from domain.model_call import Message
from domain.ranking import Outcome

KEY = "better"
OUTCOMES = {"a": Outcome.FIRST, "b": Outcome.SECOND, "tie": Outcome.TIE}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {KEY: {"type": "string", "enum": ["A", "B", "tie"]}},
    "required": [KEY],
    "additionalProperties": False,
}
"""JSON schema of a verdict, for endpoints that hold an answer to one."""

INSTRUCTION = (
    'Which answer is better, A or B? Reply with JSON only: {"better": "A"}, {"better": "B"}, '
    'or {"better": "tie"} when they are as good as each other.'
)

LONGEST = 200_000
"""Characters. What is longer is no verdict, and not worth the time to look."""

_JSON_OBJECT = re.compile(r"\{[^{}]*\}")
_WORD = re.compile(r"[^\W_]+")
_BARE = re.compile(r"(?:(?:(?:the )?better(?: answer)?(?: is)?|answer|response|verdict) )?(a|b|tie)")


def question(first: Sequence[Message], second: Sequence[Message]) -> str:
    """What a judge is asked: the task and two conversations on it, as A and B, without a word of who had them."""
    task = first[0].content
    return f"Task:\n{task}\n\nAnswer A:\n{_shown(first)}\n\nAnswer B:\n{_shown(second)}\n\n{INSTRUCTION}"


def outcome_of(output: str) -> Outcome:
    """What the judge said. Unparseable where that is not plain: a verdict is never guessed.

    Understood are the JSON object that was asked for, wherever it stands, and a reply of nothing but `A`, `B` or
    `tie`, perhaps introduced by "Answer" or "The better answer is". A reply that says two things says nothing.
    Takes time in proportion to the output's length, whatever is in it.
    """
    if len(output) > LONGEST:
        return Outcome.UNPARSEABLE
    said = {verdict for found in _JSON_OBJECT.findall(output) if (verdict := _in_json(found))}
    if not said and (bare := _BARE.fullmatch(" ".join(_WORD.findall(output.lower())))):
        said = {OUTCOMES[bare[1]]}
    return said.pop() if len(said) == 1 else Outcome.UNPARSEABLE


def _shown(conversation: Sequence[Message]) -> str:
    """What the assistant said; what the user said in between is shown in brackets."""
    later = conversation[1:]
    return "\n\n".join(f"[The user: {m.content}]" if m.role == "user" else m.content for m in later)


def _in_json(text: str) -> Outcome | None:
    try:
        verdict = json.loads(text).get(KEY)
    except (ValueError, RecursionError):  # no JSON; a number of too many digits; nested too deep
        return None
    return OUTCOMES.get(verdict.strip().lower()) if isinstance(verdict, str) else None
