"""Text that Postgres can hold. `text` and `jsonb` take neither NUL nor lone surrogates; a paid model step must
still never be lost, so such characters are escaped, reversibly, where model output comes in.

The escape sign is U+241B (SYMBOL FOR ESCAPE) followed by four hex digits; the sign itself is escaped too, so that
`unescape(escape(s)) == s` for every string, and ordinary text stays as it is.
"""

from __future__ import annotations

import re

from domain.errors import Invalid

ESCAPE = "\u241b"
EXCERPT = 10_000
_UNSTORABLE = re.compile(f"[\x00\ud800-\udfff{ESCAPE}]")
_ESCAPED = re.compile(f"{ESCAPE}([0-9a-f]{{4}})")


def escape(text: str) -> str:
    """The text with NUL, lone surrogates and the escape sign written as `␛hhhh`."""
    return _UNSTORABLE.sub(lambda match: f"{ESCAPE}{ord(match[0]):04x}", text)


def excerpt(text: str) -> str:
    """The beginning of somebody else's words, e.g. a reason, escaped and at most 10,000 characters long."""
    return escape(text[:EXCERPT])[:EXCERPT]


def unescape(text: str) -> str:
    """What `escape` was given."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def is_storable(text: str) -> bool:
    """Whether Postgres can hold the text as it is: no NUL and no lone surrogates."""
    return not re.search("[\x00\ud800-\udfff]", text)


def from_utf8(raw: bytes) -> str:
    """A file's text, byte for byte: line ends and a byte order mark stay. Raises Invalid, with line and column, for
    what is not UTF-8 or cannot be stored."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Invalid("line 1, column 1: this is UTF-16; save the file as UTF-8")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        place = _end(raw[: error.start].decode())
        raise Invalid(f"{place}: byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8") from error
    before, nul, _ = text.partition("\0")
    if nul:
        raise Invalid(f"{_end(before)}: a NUL cannot be stored; remove it")
    return text


def _end(text: str) -> str:
    *above, line = text.split("\n")
    return f"line {len(above) + 1}, column {len(line) + 1}"
