"""The adapters' page says which model server serves what, and why one does not."""

from __future__ import annotations

import pytest

from tests.unit.ui.screen import opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway

pytestmark = pytest.mark.usefixtures("eva")

REPLICA = {
    "replica": "http://gpu1:8000/v1",
    "kind": "vllm",
    "base": "tiny",
    "state": "behind",
    "since": "2026-11-28T09:00:00Z",
    "looked_at": "2026-11-28T09:01:00Z",
    "wanted": ["team@1", "team@2"],
    "served": ["team@1"],
    "refused": {"team@2": "adapter 'team@2' is refused: it was *trained* for 'another'"},
    "error": "",
}


def test_each_server_is_a_row_and_each_refusal_is_told_as_it_is(gateway: ScriptedGateway) -> None:
    gateway.standing["/v1/serving"] = {"looked_after": True, "replicas": [REPLICA]}
    screen = opened("adapters")
    assert not screen.exception
    (row,) = screen.dataframe[-1].value.to_dict("records")
    assert (row["replica"], row["served"], row["wanted"]) == ("http://gpu1:8000/v1", 1, 2)
    (told,) = texts(screen.warning)
    assert "trained" in told
    assert "another" in told


def test_where_nobody_looks_after_them_that_is_said(gateway: ScriptedGateway) -> None:
    screen = opened("adapters")
    assert any("No worker looks after model servers" in said for said in texts(screen.info))
