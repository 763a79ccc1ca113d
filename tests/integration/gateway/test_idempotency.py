"""One Idempotency-Key, one effect: repeats, late, early and with another body."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from domain.access import Role
from tests.builders import an_id
from tests.integration.gateway.conftest import PAIR, Gateway, put_agents


async def test_the_same_key_twice_gives_the_same_answer_and_one_effect(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "once"}
    async with gateway.client() as client:
        first = await client.post("/v1/preferences", json=PAIR, headers=key)
        head = gateway.core.store.head()
        second = await client.post("/v1/preferences", json=PAIR, headers=key)
        assert (second.status_code, second.json()) == (201, first.json())
        assert second.headers["location"] == first.headers["location"]
        assert gateway.core.store.head() == head


async def test_the_same_key_with_another_body_is_refused(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "once"}
    async with gateway.client() as client:
        await client.post("/v1/preferences", json=PAIR, headers=key)
        other = await client.post("/v1/preferences", json=PAIR | {"prompt": PAIR["chosen"]}, headers=key)
        assert (other.status_code, other.json()["type"]) == (422, "urn:caravan:problem:command-reused")


async def test_a_repeat_that_comes_too_early_is_told_so_and_has_the_same_answer_later(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "once"}
    async with gateway.client() as client:

        def ask(body: object = PAIR) -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(client.post("/v1/preferences", json=body, headers=key))

        with nobody_writes(gateway):
            done, (first,) = await asyncio.wait({ask(), ask()}, return_when=asyncio.FIRST_COMPLETED)
            early, other = done.pop().result(), await ask(PAIR | {"prompt": PAIR["chosen"]})
        assert (early.status_code, early.json()["type"]) == (409, "urn:caravan:problem:in-flight")
        assert early.headers["retry-after"] == "1"
        assert other.status_code == 422
        answered, again = await first, await ask()
        assert (again.status_code, again.text) == (answered.status_code, answered.text)
    assert [recorded.type for recorded in gateway.core.store.read()] == ["preference.proposed"]


async def test_who_goes_away_leaves_the_effect_and_a_free_key(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "once"}
    async with gateway.client() as client:
        with nobody_writes(gateway), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.post("/v1/preferences", json=PAIR, headers=key)
        again = await client.post("/v1/preferences", json=PAIR, headers=key)
        while again.status_code == 409:
            await asyncio.sleep(0.01)
            again = await client.post("/v1/preferences", json=PAIR, headers=key)
    assert again.status_code == 201
    assert [recorded.type for recorded in gateway.core.store.read()] == ["preference.proposed"]


async def test_a_refusal_frees_its_key(gateway: Gateway) -> None:
    async with gateway.client() as client:
        for _ in range(2):
            answer = await client.post(f"/v1/workflows/{an_id('none')}/stop", headers={"Idempotency-Key": "once"})
            assert answer.status_code == 404


@contextmanager
def nobody_writes(gateway: Gateway) -> Iterator[None]:
    """Whoever would, waits for the end of the block."""
    assert gateway.core.settings.database_url
    with psycopg.connect(gateway.core.settings.database_url) as connection:
        connection.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
        yield


async def test_one_key_means_another_command_for_another_caller_or_address(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "once"}
    async with gateway.client(Role.ADMIN) as admin, gateway.client(Role.OPERATOR) as operator:
        ids = {
            (await admin.post("/v1/preferences", json=PAIR, headers=key)).json()["id"],
            (await operator.post("/v1/preferences", json=PAIR, headers=key)).json()["id"],
            (await admin.post("/v1/datasets", json={}, headers=key)).json()["id"],
        }
    assert len(ids) == 3


async def test_a_key_that_no_header_should_hold_is_refused(gateway: Gateway) -> None:
    async with gateway.client() as client:
        for key in ("", "with space", "x" * 256):
            answer = await client.post("/v1/preferences", json=PAIR, headers={"Idempotency-Key": key})
            assert answer.status_code == 422, key


async def test_a_batch_repeated_under_its_key_starts_each_run_once(gateway: Gateway) -> None:
    tasks = [{"turns": [f"What is {n} times {n}?"], "ref": f"task-{n}"} for n in range(5)]
    key = {"Idempotency-Key": "batch-1"}
    async with gateway.client() as client:
        await put_agents(client)
        first = await client.post("/v1/workflows/batch", json={"tasks": tasks}, headers=key)
        assert first.status_code == 202, first.text
        repeat = await client.post("/v1/workflows/batch", json={"tasks": tasks}, headers=key)
        assert repeat.json() == first.json()
        gateway.catch_up()
        listed = (await client.get("/v1/workflows", params={"batch": first.json()["id"]})).json()["items"]
    assert [run["ref"] for run in reversed(listed)] == [task["ref"] for task in tasks]
    assert {run["run_id"] for run in listed} == {run["id"] for run in first.json()["runs"]}
