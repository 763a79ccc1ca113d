"""Outages of the store, as tests make them: ConnectionErrors, outlived without waiting."""

from __future__ import annotations

from commands.policies.patience import Patience


def patience() -> Patience:
    """Outlives three outages in a row."""
    return Patience((ConnectionError,), lambda: False, delays=(0.0,) * 3)
