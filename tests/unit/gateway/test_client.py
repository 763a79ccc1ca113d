"""The command line's way to the API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.cli import client
from gateway.cli.client import Api, ApiError, Unavailable
from tests.unit.ui.scripted_gateway import ScriptedGateway, scripted_gateway

IN_FLIGHT = {"type": "urn:caravan:problem:in-flight", "title": "Conflict", "status": 409, "detail": "come again"}
DONE = {"type": "urn:caravan:problem:already-done", "title": "Conflict", "status": 409, "detail": "it is over"}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedGateway]:
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.01)
    with scripted_gateway() as gateway:
        yield gateway


def test_a_command_that_is_being_worked_on_is_asked_for_again_under_its_key(gateway: ScriptedGateway) -> None:
    gateway.answers_with(IN_FLIGHT, IN_FLIGHT, status=409)
    gateway.answers_with({"id": "1"})
    assert Api(gateway.url, "crv_secret").post("/v1/workflows", {}) == {"id": "1"}
    assert len({request.headers["idempotency-key"] for request in gateway.requests}) == 1


def test_whose_token_is_not_taken_is_told_to_log_in(gateway: ScriptedGateway) -> None:
    gateway.answers_with(
        {"type": "urn:caravan:problem:unauthorized", "title": "Unauthorized", "status": 401}, status=401
    )
    with pytest.raises(ApiError, match="caravan login"):
        Api(gateway.url, "crv_wrong").get("/v1/workflows")


def test_no_other_conflict_is_asked_for_again(gateway: ScriptedGateway) -> None:
    gateway.answers_with(DONE, status=409)
    with pytest.raises(ApiError, match="it is over"):
        Api(gateway.url, "crv_secret").post("/v1/workflows", {})


def test_a_download_goes_on_through_an_outage_and_leaves_one_file(gateway: ScriptedGateway, tmp_path: Path) -> None:
    gateway.answers_with({"title": "Unavailable"}, status=503)
    gateway.answers_with(b"all of it")
    Api(gateway.url, "crv_secret").download("/v1/datasets/1/download", tmp_path / "pairs.jsonl", part="train")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("pairs.jsonl", b"all of it")]
    assert {request.path for request in gateway.requests} == {"/v1/datasets/1/download?part=train"}


def test_a_download_that_is_refused_leaves_what_is_there(gateway: ScriptedGateway, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(b"before")
    gateway.answers_with({"title": "Not Found", "detail": "there is no dataset 1"}, status=404)
    with pytest.raises(ApiError, match="no dataset 1"):
        Api(gateway.url, "crv_secret").download("/v1/datasets/1/download", file)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("pairs.jsonl", b"before")]


def test_a_download_goes_to_what_is_no_plain_file_as_it_comes(gateway: ScriptedGateway, tmp_path: Path) -> None:
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    target.touch()
    link.symlink_to(target)
    gateway.answers_with(b"all of it", b"all of it")
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for file in (pipe, link):
        Api(gateway.url, "crv_secret").download("/v1/datasets/1/download", file)
    assert (os.read(reading, 100), target.read_bytes(), link.is_symlink()) == (b"all of it", b"all of it", True)
    os.close(reading)


def test_a_download_that_breaks_off_leaves_nothing(
    gateway: ScriptedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks_off(response: httpx.Response) -> Iterator[bytes]:
        yield b"half"
        raise httpx.RemoteProtocolError("the other side is gone", request=response.request)

    monkeypatch.setattr(client, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(httpx.Response, "iter_bytes", breaks_off)
    gateway.answers_with(b"all of it", b"all of it")
    with pytest.raises(Unavailable):
        Api(gateway.url, "crv_secret").download("/v1/datasets/1/download", tmp_path / "pairs.jsonl")
    assert list(tmp_path.iterdir()) == []
