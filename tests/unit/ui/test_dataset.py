"""A dataset's page: what is in it, what was left out, and what differs from another one."""

from __future__ import annotations

import pytest

from tests.unit.ui.screen import field, opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway
from tests.unit.ui.test_drafts import dataset, listed

pytestmark = pytest.mark.usefixtures("eva")

FILTER = {"min_weight": 0, "annotated_only": False, "runs": [], "methods": ["by-hand/1"]}
LENGTHS = {"least": 1, "median": 2, "p90": 3, "p99": 4, "most": 5}
CONTENTS = {
    "files": [{"part": part, "pairs": 1, "annotated": 0, "sha256": part * 8, "size": 9} for part in ("train", "test")],
    "verdicts": {"accepted": 2},
    "methods": {"by-hand/1": 2},
    "dropped": {"duplicate": 3},
    "contradictions": 1,
    "overlapping": 0,
    "characters": {"prompt": LENGTHS},
    "tokens": {"pairs": 2, "lengths": LENGTHS, "over": {"256": 1}},
}


def built(id: str, contents: object) -> dict[str, object]:
    hashes = {"sha256": "c0ffee", "manifest_sha256": contents and "beef"}
    return dataset(id) | {"filter": FILTER, "size": 1000, "contents": contents, **hashes}


def test_what_is_in_a_dataset_and_what_is_not(gateway: ScriptedGateway) -> None:
    gateway.standing |= {"/v1/datasets/one": built("one", CONTENTS), "/v1/datasets": listed(built("one", CONTENTS))}
    screen = opened("datasets", dataset="one")
    assert not screen.exception
    files, inside, left_out, lengths = [table.value for table in screen.dataframe]
    assert list(files["part"]) == ["train", "test"]
    assert list(inside["pairs"]) == [2, 2]
    assert list(left_out["of"]) == ["Says the same as another"]
    assert list(lengths["of"]) == ["prompt, characters", "pair, tokens"]
    assert any("1 over 256" in caption for caption in texts(screen.caption))


def test_a_dataset_is_compared_with_another_one(gateway: ScriptedGateway) -> None:
    gateway.standing |= {
        "/v1/datasets/two": built("two", None),
        "/v1/datasets": listed(built("two", None), built("one", None)),
        "/v1/datasets/two/diff": {
            "counts": {"added": 0, "removed": 0, "changed": 1},
            "items": [{"preference_id": "p", "change": "changed", "flipped": True, "columns": ["chosen"]}],
            "next": None,
        },
    }
    screen = opened("datasets", dataset="two")
    chosen = field(screen, "selectbox", "Compare with")
    assert len(chosen.options) == 1
    chosen.set_value("one").run()
    assert not screen.exception
    assert "against=one" in gateway.requests[-1].path
    (changes,) = [table.value for table in screen.dataframe]
    assert list(changes["flipped"]) == [True]


def test_it_is_offered_in_the_files_of_other_tools(gateway: ScriptedGateway) -> None:
    gateway.standing |= {"/v1/datasets/one": built("one", CONTENTS), "/v1/datasets": listed(built("one", CONTENTS))}
    screen = opened("datasets", dataset="one")
    offered = [each.proto.label for each in screen.get("download_button")]
    assert offered == ["Download JSON Lines", "Folder with a card", "Parquet", "Download manifest"]
