"""The kinds of runs that workers know how to play, by the name that a request gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from commands.policies.held_run import HeldRun
from commands.policies.mutual_ranking import MutualRanking, SampledRanking
from commands.policies.role_playing import RolePlaying
from commands.policies.workforce import Workforce
from commands.workflows import Castable
from domain.ports.agents import Society


class Kind(Castable, Protocol):
    """What the agents of a run do, from its first step to its last.

    A run may be played from the beginning more than once: every model call goes through `run.step`, which skips what
    is recorded, so the same steps must follow from the same records.
    """

    async def play(self, run: HeldRun) -> None:
        """Returns when there is nothing left to do. Raises ModelUnavailable, and what `run` raises."""


KINDS: Mapping[str, Castable] = {
    "mutual_ranking": MutualRanking,
    "sampled_ranking": SampledRanking,
    "role_playing": RolePlaying,
    "workforce": Workforce,
}
"""What can be asked for."""


def playable(society: Society) -> Mapping[str, Kind]:
    """All of them, to be played. `society` is how a workforce works a task out."""
    return {
        "mutual_ranking": MutualRanking(),
        "sampled_ranking": SampledRanking(),
        "role_playing": RolePlaying(),
        "workforce": Workforce(society),
    }
