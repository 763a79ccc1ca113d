"""The keys of the endpoints that agents.yaml names: from the environment, or from files such as mounted secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from adapters.written_keys import may_hold_key

_SENT = re.compile(r"[!-~]([ -~]*[!-~])?")


def endpoint_keys(environment: Mapping[str, str], folder: Path | None) -> dict[str, str]:
    """By the names that `key_env` may give, and no other, without blanks around them. A variable beats the file of its
    name in `folder`. Raises OSError where the folder is named and cannot be read."""
    files = folder.iterdir() if folder else ()
    kept = {file.name: file.read_text() for file in files if may_hold_key(file.name)}
    found = kept | {name: value for name, value in environment.items() if may_hold_key(name)}
    return {name: key.strip() for name, key in found.items()}


def readable_keys(folder: Path) -> list[str]:
    """Of the files in that folder, as far as there are any that can be read."""
    keys: list[str] = []
    with suppress(OSError):
        for file in filter(lambda file: may_hold_key(file.name), folder.iterdir()):
            with suppress(OSError, UnicodeDecodeError):
                keys.append(file.read_text().strip())
    return keys


def fits_header(key: str) -> bool:
    """Whether a request can carry it. Look first: a client that refuses a header says which, and with it the key."""
    return _SENT.fullmatch(key) is not None
