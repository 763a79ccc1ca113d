"""A worker is killed with -9 in the middle of an import, and of an evaluation: the next one ends the job, as if nothing
had happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import httpx
import psycopg
import pytest

from tests.integration.processes import eventually as soon
from tests.living_caravan import LivingCaravan
from tests.loop import Json, Loop, eventually
from tests.unit.exchange.test_forms import ALPACA

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = 3_000
BAD = range(200, ROWS + 1, 250)
TIES = range(100, ROWS + 1, 250)
FILE = b"".join(
    b"nonsense\n"
    if line in BAD
    else json.dumps(ALPACA | {"instruction": f"Which is {line}?", "preference": 0 if line in TIES else 1}).encode()
    + b"\n"
    for line in range(1, ROWS + 1)
)
GOOD = sorted(set(range(1, ROWS + 1)) - set(BAD) - set(TIES))
LINES = (
    "SELECT (data->'source'->>'line')::int FROM event_log"
    " WHERE type = 'preference.proposed' AND data->'source'->>'import_id' = %s"
)
COMPLETED = "SELECT count(*) FROM event_log WHERE type = 'evaluation.completed' AND originator_id = %s"
ENDS = {"job.attempt_failed": "failed", "job.succeeded": "succeeded"}
PATIENCE = 120.0
PLAN = {"pairs": 30, "prompts": 8, "max_tokens": 16}


@dataclass(frozen=True)
class Import:
    """The job, once it is over, and of which lines there were pairs when its worker died."""

    job: Json
    before: list[int]


@pytest.fixture(scope="module")
def api(caravan: LivingCaravan) -> Iterator[httpx.Client]:
    with caravan.api() as api:
        yield api


@pytest.fixture(scope="module")
def imported(caravan: LivingCaravan, api: httpx.Client) -> Import:
    """A file of judgments, of which some rows cannot be read."""
    digest = sha256(FILE).hexdigest()
    api.put(f"/v1/imports/files/{digest}", content=FILE).raise_for_status()
    id = Loop(api).post("/v1/imports", {"sha256": digest})["id"]
    soon(lambda: lines_of(caravan, id), within=PATIENCE)
    caravan.kill("worker")
    before = lines_of(caravan, id)
    return Import(ended(api, f"/v1/jobs/{id}"), before)


@pytest.fixture(scope="module")
def dataset(api: httpx.Client, imported: Import) -> Json:
    """What was imported, of which a part is held back."""
    asked = {"filter": {"methods": [imported.job["result"]["method"]]}, "parts": [{"name": "test", "percent": 5}]}
    return Loop(api).build_dataset(asked)


@pytest.fixture(scope="module")
def adapter(api: httpx.Client, dataset: Json) -> str:
    """Any that is served; where no other test has left one, it is trained here."""
    served = [
        one["name"] for one in api.get("/v1/adapters").json()["items"] if one["state"] in ("registered", "promoted")
    ]
    return str(served[0] if served else Loop(api).train(dataset)["adapter_name"])


def test_an_import_goes_on_under_the_next_worker(imported: Import) -> None:
    assert 0 < len(imported.before) < len(GOOD), "it was killed in its middle"
    assert attempts(imported.job) == ["failed", "succeeded"]


def test_no_row_of_it_is_missing_or_doubled(caravan: LivingCaravan, imported: Import) -> None:
    assert lines_of(caravan, imported.job["job_id"]) == GOOD
    result = imported.job["result"]
    counts = {name: result[name] for name in ("rows", "added", "known", "ties", "set_aside")}
    assert counts == {"rows": ROWS, "added": len(GOOD), "known": 0, "ties": len(TIES), "set_aside": len(BAD)}


def test_what_it_could_not_read_is_reported_once(api: httpx.Client, imported: Import) -> None:
    aside = api.get(f"/v1/imports/{imported.job['job_id']}/set-aside").text.splitlines()
    assert [json.loads(row)["line"] for row in aside] == list(BAD)
    assert [fault["line"] for fault in imported.job["result"]["faults"]] == list(BAD)


def test_an_evaluation_goes_on_under_the_next_worker_and_ends_once_with_the_same_figures(
    caravan: LivingCaravan, api: httpx.Client, dataset: Json, adapter: str
) -> None:
    asked = {"adapter": adapter, "dataset_id": dataset["dataset_id"], "part": "test", "plan": PLAN}
    before = calls(caravan)
    unbroken = completed(api, request_evaluation(api, asked))
    needed = calls(caravan) - before

    id, before = request_evaluation(api, asked), calls(caravan)
    soon(lambda: calls(caravan) > before + needed // 3, within=PATIENCE)
    caravan.kill("worker")
    assert calls(caravan) < before + needed, "it was killed in its middle"

    broken = completed(api, id)
    assert broken["figures"] == unbroken["figures"]
    assert attempts(ended(api, f"/v1/jobs/{broken['job_id']}")) == ["failed", "succeeded"]
    with psycopg.connect(caravan.postgres.url()) as db:
        assert db.execute(COMPLETED, [id]).fetchone() == (1,)


def request_evaluation(api: httpx.Client, asked: Json) -> str:
    return str(Loop(api).post("/v1/evaluations", asked)["id"])


def completed(api: httpx.Client, evaluation: str) -> Json:
    found = ended(api, f"/v1/evaluations/{evaluation}")
    assert found["state"] == "completed", found
    assert found["figures"]["pairs"] == PLAN["pairs"]
    return found


def ended(api: httpx.Client, path: str) -> Json:
    """What is there, once it is over."""

    def look() -> Json | None:
        found: Json = api.get(path).json()
        return found if found.get("state") in ("succeeded", "dead", "completed", "failed") else None

    over: Json = eventually(look)
    return over


def attempts(job: Json) -> list[str]:
    """How each of them ended; each had a worker of its own."""
    workers = [event["data"]["worker"] for event in job["history"] if event["type"] == "job.started"]
    ends = [event["type"] for event in job["history"] if event["type"] in ENDS]
    assert len(set(workers)) == len(workers) == len(ends)
    return [ENDS[end] for end in ends]


def lines_of(caravan: LivingCaravan, import_id: str) -> list[int]:
    """Those of the file of which there is a pair."""
    with psycopg.connect(caravan.postgres.url()) as db:
        return sorted(line for (line,) in db.execute(LINES, [import_id]))


def calls(caravan: LivingCaravan) -> int:
    """Of models, by the server's own log."""
    logs = (caravan.home / "logs").glob("model-server.log*")
    return sum(file.read_bytes().count(b'"request_sha256"') for file in logs)
