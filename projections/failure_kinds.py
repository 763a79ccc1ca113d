"""The few kinds of failures that can be told from their reasons."""

from __future__ import annotations

import re

_CLASS = re.compile(r"([A-Z]\w*): ")
_ENDPOINT = re.compile("did not answer|refused")


def failure_kind(reason: str | None) -> str:
    """The error's class, where the reason begins with one; `model` where an endpoint was silent or refused; `orphaned`
    where no worker got on with it; else `other`."""
    if reason is None:
        return "other"
    if named := _CLASS.match(reason):
        return named[1]
    if reason.startswith("orphaned"):
        return "orphaned"
    return "model" if _ENDPOINT.search(reason) else "other"
