"""Which model servers are kept in step, and by which keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.replicas import key_of
from gateway.settings import ReplicaSettings, Settings
from gateway.stack import environment

VLLM = {"url": "http://gpu1:8000/v1", "kind": "vllm", "key_env": "GPU1_API_KEY", "root": "/mnt/adapters"}


def settings(**given: Any) -> Settings:
    return Settings(database_url="postgresql://db/x", nats_url="nats://nats:4222", model_key="ours", **given)


def test_by_default_this_machines_own_server_is_looked_after_with_its_own_key() -> None:
    (own,) = settings(model_port=9).served_by
    assert (own.url, own.kind) == ("http://127.0.0.1:9/v1", "embedded")
    assert key_of(own, settings(), {}) == "ours"


def test_an_endpoint_in_its_place_is_somebody_elses_until_it_is_named() -> None:
    assert settings(model_url="http://gpu1:8000/v1").served_by == []
    (named,) = settings(model_url="http://gpu1:8000/v1", replicas=[VLLM]).served_by
    assert named.kind == "vllm"


def test_a_server_gets_the_key_that_its_entry_names_and_no_other() -> None:
    named, keyless = ReplicaSettings(**VLLM), ReplicaSettings(**(VLLM | {"key_env": None}))
    assert key_of(named, settings(), {"GPU1_API_KEY": "theirs"}) == "theirs"
    assert key_of(named, settings(), {}) is None
    assert key_of(keyless, settings(), {}) is None


@pytest.mark.parametrize(
    "wrong",
    [
        VLLM | {"root": None},
        VLLM | {"kind": "sglang"},
        VLLM | {"url": "gpu1:8000"},
        VLLM | {"url": "http://gpu1:8000"},
        VLLM | {"url": "http://me:secret@gpu1:8000/v1"},
        VLLM | {"key": "in the clear"},
        VLLM | {"key_env": "DATABASE_URL"},
        VLLM | {"base": "Qwen/Qwen2.5-0.5B"},
        VLLM | {"base": ".."},
    ],
)
def test_an_entry_that_cannot_be_is_refused_at_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(replicas=[wrong])


def test_one_server_in_two_entries_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="two entries for http://gpu1:8000/v1;"):
        settings(replicas=[VLLM, VLLM | {"url": "http://gpu1:8000/v1/"}])
    assert len(settings(replicas=[VLLM, VLLM | {"url": "http://gpu2:8000/v1"}]).replicas) == 2


def test_processes_are_told_what_they_can_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    told = environment(settings(replicas=[VLLM]), "worker", {})
    assert json.loads(told["CARAVAN_REPLICAS"]) == [VLLM]
    monkeypatch.setenv("CARAVAN_REPLICAS", told["CARAVAN_REPLICAS"])
    assert settings().replicas == [ReplicaSettings(**VLLM)]
