from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from tests.unit.ui.screen import button, opened
from tests.unit.ui.scripted_gateway import ScriptedGateway

JOB: dict[str, Any] = {
    "job_id": "j1",
    "kind": "import",
    "queue": "exchange",
    "priority": "normal",
    "state": "succeeded",
    "payload": {},
    "progress": None,
    "error": None,
    "reason": None,
    "result": {"added": 1},
    "history": [],
    "requested_at": "2026-01-01T00:00:00Z",
    "actor": "eva",
}

pytestmark = pytest.mark.usefixtures("eva")


def test_a_file_is_sent_and_its_import_is_shown(gateway: ScriptedGateway) -> None:
    screen = opened("datasets")
    assert button(screen, "Import").disabled
    content = b'{"prompt": "?"}\n'
    screen.file_uploader[0].upload("judged.jsonl", content, "application/jsonl").run()
    gateway.answers_with({"sha256": sha256(content).hexdigest(), "size": len(content)})
    gateway.answers_with({"id": "j1", "version": 1, "position": 9}, status=202)
    gateway.standing["/v1/jobs/j1"] = JOB
    button(screen, "Import").click().run()
    sent, asked = (request for request in gateway.requests if request.method in ("PUT", "POST"))
    digest = sha256(content).hexdigest()
    assert (sent.path, sent.body) == (f"/v1/imports/files/{digest}", content)
    assert json.loads(asked.body) == {"sha256": digest, "format": "auto", "name": "judged.jsonl"}
