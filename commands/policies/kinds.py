"""The kinds of runs that workers know how to play, by the name that a request gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from commands.policies.held_run import HeldRun
from commands.policies.mutual_ranking import MutualRanking


class Kind(Protocol):
    """What the agents of a run do, from its first step to its last.

    A run may be played from the beginning more than once: every model call goes through `run.step`, which skips what
    is recorded, so the same steps must follow from the same records.
    """

    async def play(self, run: HeldRun) -> None:
        """Returns when there is nothing left to do. Raises ModelUnavailable, and what `run` raises."""


KINDS: Mapping[str, Kind] = {"mutual_ranking": MutualRanking()}
