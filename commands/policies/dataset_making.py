"""From drafts to the files of a dataset, in memory that does not grow with them.

Each draft is written to the file of its part as it comes. Only where pairs turn out to say the same as others, or the
opposite, their lines are taken out again.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from commands.policies.token_sample import TokenSample
from domain.dataset_contents import Contents, PartFile, counted
from domain.dataset_drafts import Draft, Page
from domain.dataset_recipe import Recipe
from domain.dataset_tally import Tally
from domain.ports.datasets import Rivals, StagedDataset, TokenCounter
from domain.sameness import Rival, contradict, losers

OVERLAPS_NAMED = 100


class DatasetMaking:
    """One making of one dataset, to be done once."""

    def __init__(self, recipe: Recipe, tokens: TokenCounter | None) -> None:
        self._recipe = recipe
        self._sample = TokenSample(tokens)
        self._tally = Tally(recipe.part_names)
        self._contradictions = 0
        self._overlapping = 0
        self._overlaps: list[UUID] = []

    def make(self, pages: Iterable[Page], rivals: Rivals, staged: StagedDataset, code: str) -> Contents:
        """Fills the staged files from the pages, in the order of their proposals; `code` is the version of Caravan."""
        for page in pages:
            self._tally.dropped.update(page.dropped)
            self._overlapping += len(page.overlapping)
            self._overlaps += page.overlapping[: OVERLAPS_NAMED - len(self._overlaps)]
            for draft in page.drafts:
                self._take(draft, rivals, staged)
        gone = self._compare(rivals)
        for part, lines in gone.items():
            staged.leave_out(part, lines)
        return self._contents(staged, gone, code)

    def _take(self, draft: Draft, rivals: Rivals, staged: StagedDataset) -> None:
        choice, swapped, weight, settled, position, traits, line = draft
        number = self._tally.add(traits)
        rivals.add(choice, Rival(number, swapped, weight, settled, position), traits)
        staged.add(traits.part, line)
        self._sample.offer(choice, traits.part, number, line)

    def _compare(self, rivals: Rivals) -> dict[str, bytearray]:
        """By part, a 1 for each line that does not stay for others' sake. Rivals have one prompt, and so one part."""
        gone: dict[str, bytearray] = {}
        for group in rivals.groups():
            of_choice = [rival for rival, _ in group]
            traits_of = {rival.number: traits for rival, traits in group}
            self._contradictions += contradict(of_choice)
            for number, reason in losers(of_choice, self._recipe):
                traits = traits_of[number]
                gone.setdefault(traits.part, bytearray(self._tally.lines(traits.part)))[number] = 1
                self._tally.drop(traits, reason)
        return gone

    def _contents(self, staged: StagedDataset, gone: dict[str, bytearray], code: str) -> Contents:
        tally = self._tally
        return Contents(
            code=code,
            files=tuple(
                PartFile(part, tally.pairs[part], tally.annotated[part], *staged.digest(part))
                for part in self._recipe.part_names
            ),
            verdicts=counted(tally.verdicts),
            methods=counted(tally.methods),
            dropped=counted(tally.dropped),
            contradictions=self._contradictions,
            overlapping=self._overlapping,
            overlaps=tuple(self._overlaps),
            characters=tally.lengths_of_texts(),
            tokens=self._sample.found(gone),
        )
