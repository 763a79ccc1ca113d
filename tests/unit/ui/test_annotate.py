from __future__ import annotations

import pytest

from tests.unit.ui.screen import opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway
from tests.unit.ui.test_pair import ID, PAIRS

pytestmark = pytest.mark.usefixtures("eva")


def pairs(count: int, next: str | None) -> dict[str, object]:
    """A page of a list of pairs that wait."""
    item = PAIRS[None] | {"proposed_at": "2026-01-01T00:00:00Z"}
    return {"items": [item | {"preference_id": f"{n}"} for n in range(count)], "next": next, "position": 9}


def labels(screen) -> list[str]:
    return [button.label for button in screen.button]


@pytest.mark.parametrize(("count", "next", "told"), [(3, None, "3"), (200, "c", "200+")])
def test_how_many_wait_is_told_as_far_as_it_was_counted(gateway: ScriptedGateway, count, next, told):
    gateway.standing["/v1/preferences"] = pairs(count, next)
    assert f"Annotate ({told} waiting)" in labels(opened("annotate"))
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS[None]
    assert f"{told} waiting" in texts(opened("annotate", pair=ID).caption)


def test_another_state_begins_with_its_newest_pairs_again(gateway: ScriptedGateway):
    gateway.standing["/v1/preferences"] = pairs(50, "c2")
    screen = opened("annotate", cursor="c1", state="Settled")
    assert any("state=settled&cursor=c1" in request.path for request in gateway.requests)
    gateway.requests.clear()
    screen.segmented_control[0].set_value("rejected").run()
    assert "cursor" not in screen.query_params
    assert not any("cursor=" in request.path for request in gateway.requests)
