"""Checks whether a process serves yet, for `Child(ready=...)`."""

from __future__ import annotations

from collections.abc import Callable

import httpx


def answers(url: str, timeout: float = 1.0) -> Callable[[], bool]:
    """A check that `GET url` is answered with a success within `timeout` seconds."""

    def check() -> bool:
        try:
            return httpx.get(url, timeout=timeout, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    return check
