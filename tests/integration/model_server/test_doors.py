"""Who is let in to the model server, what it refuses, and how it starts and ends."""

import signal
import socket
import subprocess
import sys
import time

import httpx
import openai
import pytest
from openai import OpenAI

from adapters.model_server.server import build
from tests.integration.model_server.asking import ask
from tests.integration.model_servers import API_KEY, BASE_NAME, wait_until_live

BRIEFLY = httpx.Timeout(60, read=0.3)


def test_only_the_liveness_probe_answers_without_the_key(server):
    assert httpx.get(f"{server.url}/health/live").status_code == 200
    for path in ("/health", "/v1/models", "/openapi.json", "/nowhere"):
        assert httpx.get(server.url + path).status_code == 401
    refused = httpx.post(
        f"{server.url}/v1/chat/completions", content=b"not json", headers={"Authorization": "Bearer x"}
    )
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0).models.list()


def test_health_tells_what_is_served(server):
    health = httpx.get(f"{server.url}/health", headers={"Authorization": f"Bearer {API_KEY}"}).json()

    assert health["status"] == "ok"
    assert {"team@1", "team@2"} <= set(health["adapters"])


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as refusal:
        ask(client, "Hi", model="nobody@1")
    assert refusal.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_tokens": 3_000}, "context is 2048"),
        ({"n": 2}, "n: "),
        ({"temperature": -1}, "temperature"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"stop": [""]}, "stop"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objec"}}}},
            "objec",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(client, settings, words):
    with pytest.raises(openai.BadRequestError, match=words):
        ask(client, "Hi", **settings)


def test_messages_longer_than_the_context_are_refused(client):
    with pytest.raises(openai.BadRequestError, match="shorten them") as refusal:
        ask(client, "word " * 3_000)
    assert refusal.value.code == "context_length_exceeded"


def test_a_client_that_goes_away_frees_its_place(server, client):
    headers = {"Authorization": f"Bearer {API_KEY}"}
    body = {"model": BASE_NAME, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1_900}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=BRIEFLY)
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", json=body | {"stream": True}, headers=headers, timeout=60
    ) as stream:
        next(stream.iter_lines())

    deadline = time.monotonic() + 20
    while httpx.get(f"{server.url}/health", headers=headers).json()["running"]:
        assert time.monotonic() < deadline, "an answer that nobody waits for is still being written"
        time.sleep(0.05)


def test_a_server_in_a_process_of_its_own_ends_when_told(tiny_model, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = (
        "from pathlib import Path; from adapters.model_server.server import serve; "
        f"serve(host='127.0.0.1', port={port}, base_dir=Path({str(tiny_model)!r}), base_name={BASE_NAME!r}, "
        f"adapters_dir=Path({str(tmp_path)!r}), api_key={API_KEY!r}, threads=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", start])
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=API_KEY)
    wait_until_live(f"http://127.0.0.1:{port}")

    assert ask(client, "Hi").usage.completion_tokens == 12

    process.terminate()
    assert process.wait(timeout=60) in {0, -signal.SIGTERM}


@pytest.mark.parametrize(("key", "base", "words"), [("", "tiny", "key"), ("key", "nowhere", "holds no model")])
def test_a_server_that_could_not_work_says_so_before_it_starts(tiny_model, tmp_path, key, base, words):
    base_dir = tiny_model if base == "tiny" else tmp_path / base

    with pytest.raises((ValueError, FileNotFoundError), match=words):
        build(base_dir, BASE_NAME, tmp_path, key)
