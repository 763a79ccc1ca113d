"""Eight clients at once on three adapters: each gets the answer that it would get alone, whatever else goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import openai
import pytest
from openai import OpenAI

from adapters.model_server.server import build
from tests.integration.model_servers import API_KEY, BASE_NAME, RunningServer, save_adapter, serving

ADAPTERS = ["team@1", "team@2", "lead@1"]
QUESTIONS = [
    "Hi",
    "What is the capital of France, and what would you eat there on a rainy day?",
    "Name a fruit.",
    "Tell me a story about a robot that learns to cook. " * 4,
    "2+2?",
    "Name a colour.",
    "Why is the sky blue?",
    "Name a tree, and say where it grows.",
]
ASKED = [(question, ADAPTERS[n % 3]) for n, question in enumerate(QUESTIONS)]

Ask = Callable[[str, str], str]


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Of a model in fp32, as always."""
    adapters = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(ADAPTERS, start=1):
        save_adapter(tiny_model, adapters / name, seed=seed)
    with serving(build(tiny_model, BASE_NAME, adapters, API_KEY), adapters) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0)


@pytest.fixture(scope="module")
def ask(client: OpenAI) -> Ask:
    def whole(question: str, model: str) -> str:
        reply = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=24
        )
        assert reply.model == model
        return reply.choices[0].message.content or ""

    return whole


@pytest.fixture(scope="module")
def stream(client: OpenAI) -> Ask:
    def pieces(question: str, model: str) -> str:
        chunks = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": question}], temperature=0, max_tokens=24, stream=True
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    return pieces


@pytest.fixture(scope="module")
def alone(ask: Ask) -> list[str]:
    """The answers, one request after the other."""
    return [ask(*asked) for asked in ASKED]


def together(ask: Ask) -> list[str]:
    with ThreadPoolExecutor(len(ASKED)) as pool:
        return list(pool.map(lambda asked: ask(*asked), ASKED))


def test_the_adapters_answer_differently(ask: Ask) -> None:
    assert len({ask("Name a fruit.", model) for model in (BASE_NAME, *ADAPTERS)}) == 4


@pytest.mark.parametrize("way", ["ask", "stream"])
def test_eight_at_once_get_the_answers_of_one_after_the_other(
    request: pytest.FixtureRequest, alone: list[str], way: str
) -> None:
    assert together(request.getfixturevalue(way)) == alone


def test_so_they_do_while_adapters_come_and_go(
    server: RunningServer, ask: Ask, alone: list[str], tiny_model: Path
) -> None:
    for revision in (1, 2):
        save_adapter(tiny_model, server.adapters / f"late@{revision}", seed=10 + revision)
    done = Event()

    def come_and_go() -> int:
        rounds = 0
        while not done.is_set():
            for name in ("late@1", "late@2"):
                assert server.load(name).is_success
                ask("Hi", name)
                assert server.unload(name).is_success
            rounds += 1
        return rounds

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(come_and_go)
        answers = together(ask)
        done.set()
        assert coming.result(timeout=60) >= 1

    assert answers == alone


def test_an_answer_that_has_begun_is_finished_when_its_adapter_is_unloaded(
    server: RunningServer, client: OpenAI
) -> None:
    def begin() -> Iterator[str]:
        chunks = client.chat.completions.create(
            model="lead@1", messages=[{"role": "user", "content": "Hi"}], temperature=0, max_tokens=60, stream=True
        )
        return (chunk.choices[0].delta.content or "" for chunk in chunks)

    whole = "".join(begin())
    pieces = begin()
    started = next(pieces) + next(pieces)

    assert server.unload("lead@1").is_success
    with pytest.raises(openai.NotFoundError):
        next(begin())

    assert started + "".join(pieces) == whole
    server.load("lead@1")
