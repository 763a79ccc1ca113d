"""The AgreementMeasures port. Both measures are a few lines; the library for alpha is under the GPL, which would bind
whoever passes Caravan on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np


class Agreement:
    def alpha(self, values: Mapping[str, Mapping[UUID, int]]) -> float | None:
        """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section E, by coincidences."""
        grades = sorted({grade for of_one in values.values() for grade in of_one.values()})
        given: dict[UUID, np.ndarray] = defaultdict(lambda: np.zeros(len(grades)))
        for of_one in values.values():
            for thing, grade in of_one.items():
                given[thing][grades.index(grade)] += 1
        coincidences = np.zeros((len(grades), len(grades)))
        for counts in given.values():
            if counts.sum() > 1:
                coincidences += (np.outer(counts, counts) - np.diag(counts)) / (counts.sum() - 1)
        totals = coincidences.sum(axis=0)
        if np.count_nonzero(totals) < 2:
            return None
        middles = totals.cumsum() - totals / 2
        distances = (middles[:, None] - middles) ** 2
        expected = np.outer(totals, totals) / (totals.sum() - 1)
        return float(1 - (coincidences * distances).sum() / (expected * distances).sum())

    def kappa(self, pairs: Sequence[tuple[str, str]]) -> float | None:
        """Cohen 1960: the share on which both agree, less what they would by chance, of what is left to agree on."""
        if not pairs:
            return None
        total = len(pairs)
        one, other = (Counter(side) for side in zip(*pairs, strict=True))
        observed = sum(a == b for a, b in pairs) / total
        chance = sum(one[name] * other[name] for name in one) / total**2
        return None if chance == 1 else (observed - chance) / (1 - chance)
