"""Keys and passwords never stand in the files that people write: what looks like one, and where one may be instead."""

from __future__ import annotations

import re

_VARIABLE = re.compile(r"(?!CARAVAN_)[A-Z][A-Z0-9_]{0,99}_API_KEY")
_SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:sk-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}|crv_[\w-]{43}|AKIA[0-9A-Z]{16}|AIza[\w-]{35}"
    r"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|xox[abprs]-[\w-]{10,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""Keys that nobody writes by chance: OpenAI's and Anthropic's, Caravan's, those of AWS, Google, GitHub, Hugging Face,
Groq and Slack, signed tokens (JWT), and private ones."""
KEYS_ELSEWHERE = (
    "keys and passwords never stand in this file; put it into an environment variable and write "
    "that variable's name: `key_env: MY_API_KEY`"
)


def may_hold_key(variable: str) -> bool:
    """Whether an agent may have its endpoint sent what is in that environment variable: whoever edits agents.yaml must
    not get at the process's other secrets."""
    return bool(_VARIABLE.fullmatch(variable))


def key_in(text: str) -> re.Match[str] | None:
    """The first thing in the text that looks like a key."""
    return _KEY.search(text)


def sounds_secret(setting: str) -> bool:
    """Whether somebody who writes a setting of that name means a key by it."""
    return _SECRET.search(setting) is not None
