"""A long run of seeds can be interrupted."""

from __future__ import annotations

from pathlib import Path

from tests.faults.progress import Done, Progress


def test_a_seed_that_held_is_not_run_again_and_one_that_did_not_is(tmp_path: Path) -> None:
    Progress(tmp_path).note(Done("process", 1, 9.5, []))
    Progress(tmp_path).note(Done("process", 2, 9.5, ["a reader missed 3 events"]))
    Progress(tmp_path).note(Done("simulated", 3, 0.5, []))
    assert Progress(tmp_path).held("process") == {1}
