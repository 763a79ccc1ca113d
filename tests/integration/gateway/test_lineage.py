"""Where pairs come from and where they go, and what differs between two datasets."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx
import pytest

from commands.training import RequestTraining
from domain.access import Role
from domain.dataset_recipe import TRAIN
from domain.events import ActorKind
from domain.lora_adapter import LoraAdapter
from domain.training import TrainedAdapter, TrainingRun
from domain.training_config import TrainingConfig
from domain.weighting import BEFORE_LOTS, WEIGHED_LOSS, lot_of
from tests import story
from tests.integration.gateway.conftest import Gateway

KEEP = {"duplicates": "keep", "contradictions": "keep"}


async def a_dataset(gateway: Gateway, client: httpx.AsyncClient, **wanted: Any) -> str:
    """Built of the story's pairs, which all say the same."""
    asked = (await client.post("/v1/datasets", json=KEEP | wanted)).json()
    gateway.core.dataset_file(UUID(asked["id"]))
    gateway.catch_up()
    return str(asked["id"])


async def test_the_lineage_of_a_pair_goes_back_to_people_and_forth_to_adapters(gateway: Gateway) -> None:
    gateway.tell(story.completed_run(), *story.preferences())
    async with gateway.client() as client:
        before = await a_dataset(gateway, client, position=1)
        holding, other = [await a_dataset(gateway, client, filter={"annotated_only": only}) for only in (False, True)]
        run = trained(gateway, UUID(holding))
        lineage = (await client.get(f"/v1/preferences/{story.id_of('waiting')}/lineage")).json()
    assert (lineage["run"]["run_id"], lineage["imported"]) == (str(story.RUN), None)
    assert [step["agent"] for step in lineage["answers"]] == ["ada", "bob"]
    assert [ballot["judge"] for ballot in lineage["ballots"]] == ["ada", "bob"]
    assert [event["type"] for event in lineage["events"]] == ["preference.proposed"]
    assert lineage["people"] == [
        {"actor": "ada", "actor_kind": "human", "did": ["preference.proposed", "workflow.requested"]}
    ]
    assert [(each["dataset_id"], each["part"]) for each in lineage["datasets"]] == [(holding, TRAIN)]
    assert {before, other}.isdisjoint(each["dataset_id"] for each in lineage["datasets"])
    assert [(each["run_id"], each["adapter_name"]) for each in lineage["trainings"]] == [(str(run), "team@1")]
    assert [(each["name"], each["in_use"]) for each in lineage["adapters"]] == [("team@1", False)]


@pytest.mark.parametrize(
    ("most_pairs", "weighting", "taken"), [*((n, WEIGHED_LOSS, n) for n in (1, 2, 3)), (1, BEFORE_LOTS, 4)]
)
async def test_a_pair_that_a_training_had_no_room_for_was_not_learnt_from(
    gateway: Gateway, most_pairs: int, weighting: str, taken: int
) -> None:
    """The one that weighs most is taken first, and then the others by lot. An older training may have taken any."""
    gateway.tell(story.completed_run(), *story.preferences())
    async with gateway.client() as client:
        dataset = UUID(await a_dataset(gateway, client))
        weights = {}
        for line in gateway.core.dataset_file(dataset).read_text().splitlines():
            weights[json.loads(line)["preference_id"]] = json.loads(line)["weight"]
        trained(gateway, dataset, most_pairs, weighting)
        learnt = {
            pair: bool((await client.get(f"/v1/preferences/{pair}/lineage")).json()["adapters"]) for pair in weights
        }
    heaviest = sorted(weights, key=lambda pair: (-weights[pair], lot_of(UUID(pair))))
    assert heaviest != sorted(weights, key=lambda pair: -weights[pair])
    assert len(heaviest) == 4
    assert [pair for pair in heaviest if learnt[pair]] == heaviest[:taken]


async def test_an_index_of_another_format_is_made_anew(gateway: Gateway) -> None:
    gateway.tell(story.completed_run(), *story.preferences())
    async with gateway.client() as client:
        dataset = await a_dataset(gateway, client)
        lineage = f"/v1/preferences/{story.id_of('waiting')}/lineage"
        first = await client.get(lineage)
        index = gateway.core.datasets.files.index(UUID(dataset))
        with closing(sqlite3.connect(index)) as db:
            db.executescript("ALTER TABLE pairs DROP COLUMN weight; PRAGMA user_version = 0")
        assert (await client.get(lineage)).json() == first.json()


async def test_a_pair_that_is_held_out_was_not_trained_on(gateway: Gateway) -> None:
    gateway.tell(story.completed_run(), *story.preferences())
    async with gateway.client() as client:
        datasets = [
            await a_dataset(gateway, client, parts=[{"name": "test", "percent": 50}], salt=salt) for salt in "abcdef"
        ]
        lineage = (await client.get(f"/v1/preferences/{story.id_of('waiting')}/lineage")).json()
        parts = {each["dataset_id"]: each["part"] for each in lineage["datasets"]}
        assert set(parts) == set(datasets)
        assert set(parts.values()) == {TRAIN, "test"}
        held_out = next(id for id, part in parts.items() if part == "test")
        between = await client.get(f"/v1/datasets/{held_out}/diff?against={datasets[0]}")
        assert between.status_code == 200
        unknown = await client.get(f"/v1/preferences/{story.id_of('none')}/lineage")
        assert unknown.status_code == 404


@pytest.mark.parametrize("lost", [False, True], ids=["at hand", "lost"])
async def test_a_diff_names_what_was_added_removed_flipped_and_edited(gateway: Gateway, lost: bool) -> None:
    gateway.tell(*story.preferences())
    flipped, edited, withdrawn = story.id_of("waiting"), story.id_of("accepted"), story.id_of("edited")
    token = gateway.core.tokens.create("ada", Role.ADMIN, ActorKind.HUMAN, by="test")  # her own words are replaced
    async with gateway.client(token=token) as client:
        was = await a_dataset(gateway, client)
        await client.post(f"/v1/preferences/{flipped}/annotations", json={"verdict": "flipped"})
        await client.post(f"/v1/preferences/{edited}/annotations", json={"verdict": "edited", "chosen": "Other."})
        await client.delete(f"/v1/preferences/{withdrawn}")
        await client.post(f"/v1/preferences/{story.id_of('rejected')}/annotations", json={"verdict": "accepted"})
        now = await a_dataset(gateway, client)
        assert (await client.get(f"/v1/datasets/{was}/diff?against={was}")).json()["items"] == []
        first = (await client.get(f"/v1/datasets/{now}/diff?against={was}&limit=3")).json()
        if lost:
            for id in (was, now):
                gateway.core.datasets.files.path(UUID(id)).unlink()
        rest = (await client.get(f"/v1/datasets/{now}/diff?against={was}&cursor={first['next']}")).json()
        missing = await client.get(f"/v1/datasets/{now}/diff?against={story.id_of('none')}")
        assert missing.status_code == 404
    assert first["counts"] == rest["counts"] == {"added": 1, "removed": 1, "changed": 2}
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (3, 1, None)
    found = {item["preference_id"]: item for item in (*first["items"], *rest["items"])}
    assert found[str(story.id_of("rejected"))]["change"] == "added"
    assert found[str(withdrawn)]["change"] == "removed"
    assert found[str(flipped)]["flipped"]
    assert set(found[str(flipped)]["columns"]) > {"chosen", "rejected", "verdict", "weight", "position"}
    assert not found[str(edited)]["flipped"]
    assert set(found[str(edited)]["columns"]) == {"chosen", "verdict", "position"}


def trained(gateway: Gateway, dataset: UUID, max_pairs: int = 64, weighting: str = WEIGHED_LOSS) -> UUID:
    """A training on that dataset, to its end."""
    config = TrainingConfig(max_pairs=max_pairs)
    request = RequestTraining(dataset, gateway.core.settings.base_model, "team", config)
    run = gateway.core.bus.execute(request, story.ENVELOPE).id
    session = gateway.core.store.session(story.ENVELOPE)
    training = session.get(TrainingRun, run)
    training.start("trainer-1", "team@1", at=story.at(41))
    trained = TrainedAdapter("team@1", story.SHA, "smollm2-135m-instruct", story.SHA, 3, 0.69, 0.41, 6.0)
    training.complete(1, trained, at=story.at(44))
    session.save(training)
    adapter, passport = LoraAdapter.reserve("team", 1, run, at=story.at(41)), story.adapter(1).passport
    assert passport
    adapter.register(replace(passport, training_run=run, weighting=weighting), at=story.at(50))
    gateway.tell(adapter)
    return run
