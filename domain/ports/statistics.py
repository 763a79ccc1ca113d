"""What is computed from ballots and opinions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from domain.estimates import C, Ranking
from domain.ranking import Tally


class AgreementMeasures(Protocol):
    """How far those who judged the same things agree, corrected for chance."""

    def alpha(self, values: Mapping[str, Mapping[UUID, int]]) -> float | None:
        """Krippendorff's, ordinal: of what each annotator gave each thing, where any may be missing. 1 is agreement, 0
        what chance would give. None where no two gave anything to the same thing, or all gave the same to all."""

    def kappa(self, pairs: Sequence[tuple[str, str]]) -> float | None:
        """Cohen's: of what the one and the other called each thing. None of nothing, and where both called all things
        the same."""


class Ranker(Protocol):
    """The statistics behind a ranking method."""

    method: str
    """Its name and version, e.g. `bradley-terry/1`."""

    def rank(self, tally: Tally[C]) -> Ranking[C]:
        """The strength of every candidate that a vote names, and whatever the method knows besides. Votes that could
        not be parsed say nothing."""
