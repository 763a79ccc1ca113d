"""What a text says, word by word, whatever its script: without case, punctuation, and forms of Unicode that mean the
same.

Where words are not told apart by spaces, each character stands for itself. One of Han is taken for a word. Of kana and
the alphabets of South-East Asia a word has about four, so that 13 words are 52 of them.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import category, name, normalize

LETTERS = 4
"""Of a word."""
_HAN = ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC ITERATION MARK")
_ALPHABETS = ("HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TAI", "NEW TAI", "JAVANESE", "BALINESE")
"""As the names of their characters begin."""
_UNSEEN = ("VARIATION SELECTOR", "COMBINING GRAPHEME JOINER")


def words(text: str) -> list[str]:
    """In order. Composed after NFKC, so that what is one text to a reader gives the same words."""
    composed = normalize("NFKC", normalize("NFKC", text).casefold())
    return composed.translate(_FORMS).split()


@lru_cache(maxsize=65_536)
def letters(word: str) -> int:
    """How long it is among others, in letters: a word counts as four, however many it has."""
    return 1 if name(word[0], "").startswith(_ALPHABETS) else LETTERS


class _Forms(dict[int, str]):
    """By code point, what becomes of a character; worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        form = self[code] = _form(chr(code))
        return form


def _form(character: str) -> str:
    kind, called = category(character), name(character, "")
    if kind == "Cf" or called.startswith(_UNSEEN):
        return ""
    if not character.isalnum() and not kind.startswith("M"):
        return " "
    return f" {character} " if called.startswith(_HAN + _ALPHABETS) else character


_FORMS = _Forms()
