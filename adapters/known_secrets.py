"""The secrets that this process knows, kept out of what others say: who repeats a key that it was sent, or was given,
must not bring it into the log of events, which is for good and for every viewer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

SHORTEST = 8
"""Characters, of a secret with a letter and a digit."""
SHORTEST_OF_OTHERS = 16
"""What is shorter people may write by chance, such as `placeholder` where an endpoint wants any key."""
HIDDEN = "***"

Hide = Callable[[str], str]
"""Gives a text back without the secrets in it."""


class KnownSecrets:
    """It knows them by their values, and knows no other: not what looks like a key, nor what a key was made into."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        written = {spelling for value in values if _is_telling(value) for spelling in (value, _in_json(value))}
        longest_first = sorted(written, key=len, reverse=True)  # one key may be the beginning of another
        self._any = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def hide(self, text: str) -> str:
        """The text with each of them blotted out."""
        return self._any.sub(HIDDEN, text)


def _is_telling(value: str) -> bool:
    mixed = any(map(str.isalpha, value)) and any(map(str.isdigit, value))
    return len(value) >= (SHORTEST if mixed else SHORTEST_OF_OTHERS)


def _in_json(value: str) -> str:
    return json.dumps(value)[1:-1]
