"""The rules that stand in for a coordinator that cannot be followed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.workforce import MOST_SUBTASKS, shares, stand_in

WORKERS = st.lists(st.text(min_size=1), min_size=1, max_size=12, unique=True)


@given(WORKERS)
def test_each_worker_has_a_share_and_as_many_sub_tasks_as_workers_go_round(workers: list[str]) -> None:
    assert shares("all of it", len(workers)) == ["all of it"] * len(workers)
    assert [stand_in(n, workers) for n in range(len(workers))] == workers


@given(WORKERS, st.integers(0, MOST_SUBTASKS))
def test_workers_take_turns(workers: list[str], subtask: int) -> None:
    assert stand_in(subtask, workers) == stand_in(subtask + len(workers), workers)
