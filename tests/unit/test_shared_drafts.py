"""The drafts of a dataset are the same however they are cut and shared out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from adapters.shared_drafts import Order, SharedDrafter, Span
from commands.preferences import AnnotatePreference, ProposePreference, WithdrawPreference
from domain.dataset_drafts import Drafting, Page
from domain.dataset_recipe import Filter, Holdout, Part, Recipe
from domain.dataset_rows import BEGINNING, TELLING
from domain.preference import Verdict
from tests.builders import a_pair
from tests.fakes import MemoryEventStore, an_envelope

RECIPE = Recipe(parts=(Part("test", 40),), holdouts=(Holdout("exam", ("Question 1?",), drop=False),))
ACTS = st.sampled_from(["", "", "flip", "reject", "withdraw"])


def a_log(acts: Sequence[str]) -> MemoryEventStore:
    """With a pair for each, of which something is said once all are proposed."""
    store = MemoryEventStore()
    bus = store.bus()
    pairs = [
        bus.execute(ProposePreference(a_pair(f"answer {n}", prompt=f"Question {n % 3}?")), an_envelope()).id
        for n in range(len(acts))
    ]
    for pair, act in zip(pairs, acts, strict=True):
        match act:
            case "flip" | "reject":
                verdict = Verdict.FLIPPED if act == "flip" else Verdict.REJECTED
                bus.execute(AnnotatePreference(pair, verdict), an_envelope())
            case "withdraw":
                bus.execute(WithdrawPreference(pair, ""), an_envelope())
    return store


class Fickle:
    """A helper that is gone after so many pages."""

    def __init__(self, log: MemoryEventStore, order: Order, patience: int) -> None:
        self._log, self._order = log, order
        self._drafting = Drafting(order.filter, order.recipe)
        self._asked: deque[Span] = deque()
        self._patience = patience
        self.closed = False

    def ask(self, span: Span) -> None:
        self._asked.append(span)

    def told(self) -> Page | None:
        span = self._asked.popleft()
        if self._patience == 0:
            return None
        self._patience -= 1
        return self._drafting.page(self._log.lives(BEGINNING, self._order.position, TELLING, *span))

    def close(self) -> None:
        self.closed = True


def drafted(drafter: SharedDrafter, position: int) -> list[Page]:
    with drafter.pages(Filter(), RECIPE, position) as pages:
        return list(pages)


def together(pages: list[Page]) -> tuple[object, ...]:
    """What a dataset is made of."""
    dropped = {reason: sum(page.dropped.get(reason, 0) for page in pages) for page in pages for reason in page.dropped}
    return (
        list(chain.from_iterable(page.drafts for page in pages)),
        list(chain.from_iterable(page.overlapping for page in pages)),
        dropped,
    )


@given(st.lists(ACTS, max_size=12), st.integers(1, 5), st.integers(0, 20))
def test_pages_of_any_size_hold_the_same_in_the_same_order(acts: list[str], lives: int, position: int) -> None:
    log = a_log(acts)
    whole = drafted(SharedDrafter(log, "", processes=1), position)
    cut = drafted(SharedDrafter(log, "", processes=1, lives=lives), position)
    assert together(cut) == together(whole)
    assert all(0 < page.reached <= position for page in cut)


@given(
    acts=st.lists(ACTS, max_size=12),
    lives=st.integers(1, 3),
    position=st.integers(0, 20),
    processes=st.integers(2, 4),
    alone=st.integers(1, 2),
    patience=st.integers(0, 3),
    most=st.integers(0, 4),
)
def test_any_number_of_processes_draft_the_same_though_they_be_gone_after_a_while_or_never_begin(
    acts: list[str], lives: int, position: int, processes: int, alone: int, patience: int, most: int
) -> None:
    log = a_log(acts)
    hired: list[Fickle] = []

    def hire(order: Order) -> Fickle:
        if len(hired) == most:
            raise OSError("no more processes")
        hired.append(Fickle(log, order, patience))
        return hired[-1]

    shared = drafted(SharedDrafter(log, "", processes, alone, lives, hire), position)
    assert together(shared) == together(drafted(SharedDrafter(log, "", processes=1), position))
    assert all(len(page.drafts) <= lives for page in shared)
    assert all(helper.closed for helper in hired)
