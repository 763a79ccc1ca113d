"""Imports over HTTP and from the command line: a file is sent, a job imports it, and an import can be taken back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from typer.testing import CliRunner

from adapters.presence import Presence
from commands.jobs import CancelJob, FailJobAttempt, StartJob, SucceedJob
from commands.policies.held_job import Attempt, PermanentFailure
from domain.access import Role
from domain.job import Job
from gateway.cli import app
from gateway.job_handlers import job_handlers
from tests.fakes import an_envelope
from tests.integration.gateway.conftest import Gateway, opened
from tests.integration.gateway.serving import served
from tests.scripted_agents import ScriptedAgents
from tests.unit.exchange.test_forms import ALPACA

LINES = [ALPACA | {"instruction": f"Question {n}?"} for n in range(3)]
CONTENT = b"".join(json.dumps(line).encode() + b"\n" for line in LINES) + b"nonsense\n"
DIGEST = sha256(CONTENT).hexdigest()
FILE = f"/v1/imports/files/{DIGEST}"


async def work(gateway: Gateway) -> None:
    """What a worker would do with the jobs that wait."""
    core = gateway.core
    handlers = job_handlers(core, Presence(core.engine), datetime.now(UTC), ScriptedAgents())
    waiting: dict[UUID, Job.Requested] = {}
    for recorded in core.store.read(topics=("job.requested", "job.started", "job.cancelled")):
        match recorded.event:
            case Job.Requested() as asked:
                waiting[asked.originator_id] = asked
            case other:
                waiting.pop(other.originator_id, None)
    for id, asked in waiting.items():
        core.bus.execute(StartJob(id, "worker-1"), an_envelope())
        try:
            result = await handlers[asked.kind](asked.payload, Attempt(id, 1))
        except PermanentFailure as failure:
            core.bus.execute(FailJobAttempt(id, 1, str(failure), permanent=True), an_envelope())
        else:
            core.bus.execute(SucceedJob(id, 1, result), an_envelope())
    gateway.catch_up()


def sent_file(gateway: Gateway) -> Path:
    return gateway.core.settings.artifacts / "imports" / DIGEST


async def test_a_file_is_sent_imported_read_and_taken_back(gateway: Gateway) -> None:
    async with gateway.client(Role.OPERATOR) as client:
        unknown = await client.post("/v1/imports", json={"sha256": DIGEST})
        assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:caravan:problem:not-found")
        odd = await client.post("/v1/imports", json={"sha256": DIGEST, "format": "csv"})
        assert (odd.status_code, "there is auto, caravan, alpaca-eval" in odd.json()["detail"]) == (422, True)
        for _ in range(2):
            sent = await client.put(FILE, content=CONTENT)
            assert (sent.status_code, sent.json()) == (200, {"sha256": DIGEST, "size": len(CONTENT)})
        asked = await client.post("/v1/imports", json={"sha256": DIGEST, "name": "a file"})
        assert asked.status_code == 202
        id = asked.json()["id"]
        gateway.catch_up()
        early = await client.post(f"/v1/imports/{id}/withdraw", json={"reason": "x"})
        assert (early.status_code, early.json()["type"]) == (409, "urn:caravan:problem:not-ready")
        assert (await client.get(f"/v1/imports/{id}/set-aside")).status_code == 404

        await work(gateway)
        job = (await client.get(asked.headers["location"])).json()
        assert (job["state"], job["payload"]["name"], job["result"]["added"]) == ("succeeded", "a file", 3)
        aside = await client.get(f"/v1/imports/{id}/set-aside")
        assert json.loads(aside.content)["line"] == 4
        pairs = (await client.get("/v1/preferences", params={"import": id, "order": "oldest"})).json()["items"]
        assert [pair["state"] for pair in pairs] == ["imported"] * 3
        assert pairs[0]["source"] == {"import_id": id, "sha256": DIGEST, "line": 1, "annotator": "gpt4"}
        assert (await client.get("/v1/preferences", params={"state": "waiting"})).json()["items"] == []
        lineage = (await client.get(f"/v1/preferences/{pairs[0]['preference_id']}/lineage")).json()
        assert (lineage["imported"], lineage["run"]) == (pairs[0]["source"] | {"name": "a file"}, None)

        withdrawn = await client.post(f"/v1/imports/{id}/withdraw", json={"reason": "a bad judge"})
        assert withdrawn.status_code == 202
        await work(gateway)
        pairs = (await client.get("/v1/preferences", params={"import": id})).json()["items"]
        assert {(pair["state"], pair["withdrawn_because"]) for pair in pairs} == {("withdrawn", "a bad judge")}


async def test_what_arrives_otherwise_than_it_was_named_is_not_kept(gateway: Gateway) -> None:
    async with gateway.client(Role.OPERATOR) as client:
        refused = await client.put(FILE, content=CONTENT + b"x")
        assert (refused.status_code, "send it again" in refused.json()["detail"]) == (422, True)
        assert (await client.put("/v1/imports/files/..%2F..%2Fx", content=b"x")).status_code in (404, 422)
        assert (await client.put("/v1/imports/files/nonsense", content=b"x")).status_code == 422
        assert not sent_file(gateway).exists()


async def test_a_file_of_none_of_our_forms_is_refused_before_there_is_a_job(gateway: Gateway) -> None:
    async with gateway.client(Role.OPERATOR) as client:
        for content, why in ((b"", "it has no rows"), (b'{"text": "x"}', "its first one has text")):
            digest = sha256(content).hexdigest()
            assert (await client.put(f"/v1/imports/files/{digest}", content=content)).status_code == 200
            refused = await client.post("/v1/imports", json={"sha256": digest})
            assert (refused.status_code, why in refused.json()["detail"]) == (422, True)
    assert gateway.core.store.head() == 0


async def test_a_file_may_be_larger_than_other_bodies_up_to_a_limit_of_its_own(database: str, tmp_path: Path) -> None:
    with opened(database, tmp_path, max_body_bytes=2048, max_import_bytes=8192) as gateway:
        async with gateway.client(Role.OPERATOR) as client:
            for size, status in ((8192, 200), (8193, 413)):
                content = b"x" * size
                path = f"/v1/imports/files/{sha256(content).hexdigest()}"
                assert (await client.put(path, content=content)).status_code == status

                async def in_pieces(content: bytes = content) -> object:
                    for start in range(0, len(content), 1000):
                        yield content[start : start + 1000]

                assert (await client.put(path, content=in_pieces())).status_code == status
            assert (await client.post("/v1/imports", content=b"x" * 2049)).status_code == 413


async def test_who_may_not_ask_for_work_sends_no_file(gateway: Gateway) -> None:
    async with gateway.client(Role.ANNOTATOR) as client:
        assert (await client.put(FILE, content=CONTENT)).status_code == 403
        assert (await client.post("/v1/imports", json={"sha256": DIGEST})).status_code == 403
    assert not sent_file(gateway).exists()


async def test_only_an_import_is_withdrawn(told: Gateway) -> None:
    async with told.client(Role.OPERATOR) as client:
        job = (await client.get("/v1/jobs")).json()["items"][0]["job_id"]
        for id in (job, "0198c0de-0000-7000-8000-000000000000"):
            assert (await client.post(f"/v1/imports/{id}/withdraw", json={})).status_code == 404


@contextmanager
def at_work(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line reaches the gateway, and a worker is there."""
    stop = threading.Event()

    def worker() -> None:
        while not stop.wait(0.1):
            asyncio.run(work(gateway))

    with served(gateway.app) as address:
        monkeypatch.setenv("CARAVAN_PORT", address.partition(":")[2])
        monkeypatch.setenv("CARAVAN_TOKEN", gateway.tokens[Role.OPERATOR])
        thread = threading.Thread(target=worker)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def test_one_command_imports_a_file_and_says_what_became_of_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "judged.jsonl"
    file.write_bytes(CONTENT)
    with at_work(gateway, monkeypatch):
        first = CliRunner().invoke(app, ["import", str(file)])
        assert first.exit_code == 0, first.output
        assert "line 4 this is no JSON" in first.output
        again = CliRunner().invoke(app, ["import", str(file), "--json"])
        result = json.loads(again.stdout)["result"]
        assert (result["name"], result["added"], result["known"], result["set_aside"]) == ("judged.jsonl", 0, 3, 1)
        listed = json.loads(CliRunner().invoke(app, ["imports", "list", "--json"]).stdout)
        assert [job["result"]["added"] for job in listed] == [0, 3]
        aside = CliRunner().invoke(app, ["imports", "set-aside", listed[1]["job_id"]])
        assert json.loads(aside.stdout)["text"] == "nonsense"
        of_it = ["preferences", "--state", "imported", "--import", listed[1]["job_id"], "--json"]
        pairs = json.loads(CliRunner().invoke(app, of_it).stdout)
        assert len(pairs) == 3
        title, _, comes_from, answers = (
            CliRunner().invoke(app, ["lineage", pairs[-1]["preference_id"]]).stdout.split("\n")[:4]
        )
        assert (title, answers) == ("imported", "answers")
        assert comes_from.split() == [listed[1]["job_id"], "judged.jsonl", DIGEST, "1", "gpt4"]
        taken_back = CliRunner().invoke(app, ["imports", "withdraw", listed[1]["job_id"], "--because", "a bad judge"])
        assert (taken_back.exit_code, "3 pairs are withdrawn" in taken_back.output) == (0, True)

        wrong = CliRunner().invoke(app, ["import", str(file), "--format", "hh"])
        assert (wrong.exit_code, "set_aside" in wrong.output) == (1, True)
        file.write_text('{"text": "x"}\n')
        refused = CliRunner().invoke(app, ["import", str(file)])
        assert (refused.exit_code, "is of a form that we know" in refused.output) == (1, True)


def test_a_cancelled_import_is_told_as_such(gateway: Gateway, tmp_path: Path) -> None:
    gateway.core.import_files.receive(DIGEST, [CONTENT])

    async def cancelled() -> httpx.Response:
        async with gateway.client(Role.OPERATOR) as client:
            asked = (await client.post("/v1/imports", json={"sha256": DIGEST})).json()
            gateway.core.bus.execute(CancelJob(UUID(asked["id"]), "enough"), an_envelope())
            await work(gateway)
            return await client.get(f"/v1/jobs/{asked['id']}")

    job = asyncio.run(cancelled()).json()
    assert (job["state"], job["reason"]) == ("cancelled", "enough")
