"""Answers given again: only to agents whose configuration says so, only to the very same question, and told as such."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from adapters import kv
from adapters.answer_cache import BUCKET, AnswerCache
from adapters.camel_agents import CamelAgents
from adapters.embedded.nats_server import EmbeddedNats
from adapters.kv import KeyValues
from adapters.locked_values import Cache
from domain.model_call import ModelCall, Usage
from domain.roster import AgentSpec, ModelSpec, Sampling
from tests.integration.scripted_endpoint import ScriptedEndpoint

MODEL = ModelSpec("embedded", "tiny", sampling=Sampling(temperature=0.7, max_tokens=8, seed=1))
ANNA = AgentSpec("anna", "plays", "You are Anna.", MODEL, cache="7d")


@dataclass
class Workplace:
    """Makes the agents of one worker after another, all of them on the same endpoint."""

    endpoint: ScriptedEndpoint
    values: KeyValues
    weights: dict[str | None, Mapping[str, str] | None] = field(default_factory=lambda: {None: {"base": "1"}})
    hours: float = 0
    opened: list[CamelAgents] = field(default_factory=list)

    async def answer(self, spec: AgentSpec, turn: str = "Why?", adapter: str | None = None) -> ModelCall:
        """What an agent of a worker that was just started answers."""
        return await self._agents().create(spec, adapter, None).answer(turn)

    async def compare(self, spec: AgentSpec) -> ModelCall:
        return await self._agents().create(spec, None, None).compare("Which one?")

    @property
    def asked(self) -> int:
        """How often the endpoint was."""
        return len(self.endpoint.requests)

    def _agents(self) -> CamelAgents:
        cache = Cache(self.values, "s3cret", now=lambda: time.time() + self.hours * 3600)
        answers = AnswerCache(cache, lambda platform, adapter: self.weights[adapter])
        agents = CamelAgents(self.endpoint.url, "k", None, {}, patience=1, answers=answers)
        self.opened.append(agents)
        return agents


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """NATS has all the time that it takes to answer."""
    monkeypatch.setattr(kv, "ANSWER_SECONDS", 60.0)


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyValues]:
    folder: Path = tmp_path_factory.mktemp("answers")
    with EmbeddedNats(folder / "nats", folder / "nats.log") as server:
        values = KeyValues(server.url, BUCKET)
        yield values
        values.close()


@pytest.fixture
async def work(values: KeyValues) -> AsyncIterator[Workplace]:
    """At an endpoint of its own, so that no test knows another one's answers."""
    with ScriptedEndpoint("Because.").up() as endpoint:
        work = Workplace(endpoint, values)
        yield work
        for agents in work.opened:
            await agents.close()


async def test_the_same_question_is_asked_once_and_the_second_step_says_so(work: Workplace):
    first, second = [await work.answer(ANNA) for _ in range(2)]
    assert work.asked == 1
    assert (first.cached, first.usage) == (False, Usage(7, 3))
    assert (second.cached, second.usage) == (True, Usage())
    assert replace(second, cached=False, usage=first.usage, latency=first.latency) == first
    assert second.latency > 0


@pytest.mark.parametrize(
    "other",
    [
        replace(ANNA, system_message="You are Bob."),
        replace(ANNA, model=replace(MODEL, name="larger")),
        *(
            replace(ANNA, model=replace(MODEL, sampling=replace(MODEL.sampling, **changed)))
            for changed in ({"seed": 2}, {"temperature": 0.8}, {"max_tokens": 9}, {"top_p": 0.5})
        ),
    ],
    ids=["system message", "model", "seed", "temperature", "max_tokens", "top_p"],
)
async def test_other_settings_ask_another_question(work: Workplace, other: AgentSpec):
    await work.answer(ANNA)
    assert not (await work.answer(other)).cached
    assert work.asked == 2


async def test_another_turn_is_another_question(work: Workplace):
    await work.answer(ANNA, "Why?")
    assert not (await work.answer(ANNA, "How?")).cached


async def test_other_weights_under_the_same_name_are_asked_anew(work: Workplace):
    work.weights["team@1"] = {"base": "1", "adapter": "2"}
    await work.answer(ANNA, adapter="team@1")
    assert (await work.answer(ANNA, adapter="team@1")).cached
    work.weights["team@1"] = {"base": "1", "adapter": "3"}
    assert not (await work.answer(ANNA, adapter="team@1")).cached
    work.weights["team@1"] = None  # nobody knows them
    assert not (await work.answer(ANNA, adapter="team@1")).cached
    assert not (await work.answer(ANNA)).cached


async def test_who_did_not_ask_for_it_is_given_nothing_again_and_gives_nothing(work: Workplace):
    usual = replace(ANNA, cache=None)
    await work.answer(usual)
    await work.answer(ANNA)
    assert not (await work.answer(usual)).cached
    assert work.asked == 3


async def test_an_answer_older_than_the_agent_wants_is_asked_for_anew(work: Workplace):
    await work.answer(ANNA)
    work.hours = 1.5
    assert (await work.answer(ANNA)).cached
    assert not (await work.answer(replace(ANNA, cache="1h"))).cached


async def test_verdicts_are_given_again_too(work: Workplace):
    first, second = [await work.compare(ANNA) for _ in range(2)]
    assert (first.cached, second.cached, work.asked) == (False, True, 1)


@pytest.mark.parametrize("wrong", [b"", b"{}", b'{"choices": []}', b'{"choices": [{"message": 7}]}', b"\xff"])
async def test_what_is_no_answer_is_a_miss(work: Workplace, monkeypatch: pytest.MonkeyPatch, wrong: bytes):
    async def find(*_: object) -> bytes:
        return wrong

    monkeypatch.setattr(Cache, "find", find)
    assert (await work.answer(ANNA)).output == "Because."
    assert work.asked == 1


async def test_a_refusal_is_not_kept(work: Workplace):
    work.endpoint.beside = {"choices": [{"index": 0, "message": {"content": "no"}, "finish_reason": "content_filter"}]}
    await work.answer(ANNA)
    assert not (await work.answer(ANNA)).cached


async def test_without_nats_every_question_is_asked(work: Workplace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kv, "ANSWER_SECONDS", 0.5)
    work.values = KeyValues("nats://127.0.0.1:1", BUCKET)
    assert [(await work.answer(ANNA)).cached for _ in range(2)] == [False, False]
    work.values.close()
