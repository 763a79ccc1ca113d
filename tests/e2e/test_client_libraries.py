"""What other people's tools see: the OpenAI SDK, datasets, peft, psql's protocol and NATS' own client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import nats
import psycopg
import pytest
from openai import APIConnectionError, AuthenticationError, OpenAI

from tests.living_caravan import BASE_MODEL, LivingCaravan
from tests.loop import Loop, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def api(caravan: LivingCaravan) -> httpx.Client:
    return caravan.api()


@pytest.fixture(scope="module")
def loop(api: httpx.Client) -> Loop:
    return Loop(api)


@pytest.fixture(scope="module")
def run(loop: Loop) -> dict[str, Any]:
    """One run of a task with two turns, completed."""
    return loop.run("Name a colour.", "And another?")


@pytest.fixture(scope="module")
def dataset(loop: Loop, run: dict[str, Any]) -> dict[str, Any]:
    """All pairs there are."""
    loop.waiting_pairs(run)
    return loop.build_dataset()


@pytest.fixture(scope="module")
def adapter(loop: Loop, dataset: dict[str, Any]) -> str:
    """The name of an adapter trained on them and promoted."""
    name: str = loop.train(dataset)["adapter_name"]
    loop.post(f"/v1/adapters/{name}/promote", {"reason": "to be used"})
    return name


def test_the_openai_sdk_lists_and_calls_base_and_adapter(caravan: LivingCaravan, adapter: str) -> None:
    client = OpenAI(base_url=caravan.model_url, api_key=(caravan.home / "model-key").read_text())
    eventually(lambda: {BASE_MODEL, adapter} <= {model.id for model in client.models.list()})
    for name in (BASE_MODEL, adapter):
        answer = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "Hello!"}], max_tokens=4, temperature=0
        )
        assert answer.model == name
        assert answer.usage is not None
        assert 1 <= answer.usage.completion_tokens <= 4


def test_the_model_server_answers_nobody_without_its_key(caravan: LivingCaravan) -> None:
    with pytest.raises(AuthenticationError):
        OpenAI(base_url=caravan.model_url, api_key="guessed").models.list()


def test_datasets_opens_the_export_as_it_is(
    api: httpx.Client, dataset: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from datasets import load_dataset

    file = tmp_path / "pairs.jsonl"
    file.write_bytes(api.get(f"/v1/datasets/{dataset['dataset_id']}/download").content)
    rows = load_dataset("json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == dataset["pairs"] > 0
    assert {"prompt", "chosen", "rejected", "weight"} <= set(rows.column_names)
    assert [message["role"] for message in rows[0]["chosen"]][-1] == "assistant"


def test_peft_opens_the_adapter(caravan: LivingCaravan, adapter: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(caravan.home / "models" / BASE_MODEL)
    folder = caravan.artifacts / "adapters" / adapter
    model = PeftModel.from_pretrained(base, folder)
    assert any("lora_A" in name for name, _ in model.named_parameters())
    assert not list(folder.glob("*.bin"))
    assert json.loads((folder / "passport.json").read_text())["dataset_sha256"]


def test_the_next_run_answers_on_the_adapter_and_its_steps_say_so(api: httpx.Client, loop: Loop, adapter: str) -> None:
    run = loop.run("Name a tree.")
    steps = api.get(f"/v1/workflows/{run['run_id']}/steps").json()["items"]
    assert {step["adapter"] for step in steps} == {adapter}


def test_psql_sees_plain_json(caravan: LivingCaravan, run: dict[str, Any]) -> None:
    query = "SELECT data->'task'->'turns'->>0 FROM event_log WHERE type = 'workflow.requested' AND originator_id = %s"
    with psycopg.connect(caravan.postgres.url()) as db:
        assert db.execute(query, [run["run_id"]]).fetchone() == ("Name a colour.",)


async def test_nats_own_client_sees_cloud_events(caravan: LivingCaravan, run: dict[str, Any]) -> None:
    client = await nats.connect(caravan.nats.url)
    subscription = await client.jetstream().subscribe("events.workflow.requested", ordered_consumer=True)
    event = json.loads((await subscription.next_msg(timeout=60)).data)
    await client.close()
    assert (event["specversion"], event["type"]) == ("1.0", "workflow.requested")
    assert event["data"]["task"]["turns"]


def test_what_is_registered_is_served_also_by_a_server_that_was_killed_and_what_is_retired_is_not(
    caravan: LivingCaravan, api: httpx.Client, loop: Loop, adapter: str
) -> None:
    client = OpenAI(base_url=caravan.model_url, api_key=(caravan.home / "model-key").read_text(), max_retries=0)

    def served() -> set[str]:
        try:
            return {model.id for model in client.models.list()} - {BASE_MODEL}
        except APIConnectionError:
            return set()

    eventually(lambda: adapter in served())
    caravan.kill("model-server")
    eventually(lambda: adapter in served())
    (server,) = eventually(lambda: in_step(api.get("/v1/serving").json()["replicas"]))
    assert adapter in server["served"]

    loop.post(f"/v1/adapters/{adapter}/retire", {"reason": "the end of the tests"})
    eventually(lambda: adapter not in served())


def in_step(replicas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return replicas if all(one["state"] == "in_step" for one in replicas) else []
