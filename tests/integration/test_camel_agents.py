"""Real CAMEL agents on the real model server, with a tiny model in it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters import kv
from adapters.answer_cache import BUCKET, AnswerCache
from adapters.bradley_terry import BradleyTerry
from adapters.camel_agents import CamelAgent, CamelAgents
from adapters.endpoint_patience import FIRST_DELAY
from adapters.event_json import PlainJsonMapper
from adapters.known_secrets import KnownSecrets
from adapters.kv import KeyValues
from adapters.locked_values import Cache
from adapters.model_server.server import build
from adapters.token_counter import ApproximateTokenCounter, ExactTokenCounter, token_counter
from commands.policies.propose_pairs import ProposePairs
from domain.model_call import Message, Usage
from domain.ports.agents import CannotScore, InputRefused, ModelUnavailable
from domain.preference import Preference
from domain.ranking import Outcome
from domain.roster import AgentSpec, ModelSpec, Sampling
from domain.text import escape
from domain.verdict import outcome_of
from domain.workflow import Workflow
from tests.builders import NOW, a_started_workflow, a_step
from tests.integration.model_servers import API_KEY, BASE_NAME, RunningServer, save_adapter, serving
from tests.integration.scripted_endpoint import ScriptedEndpoint
from tests.played_runs import WORKER, Stage

AgentOn = Callable[..., tuple[CamelAgent, ScriptedEndpoint]]

SPEC = AgentSpec(
    "anna",
    "plays",
    "You are Anna.",
    ModelSpec("embedded", BASE_NAME, sampling=Sampling(temperature=0.9, top_p=0.9, max_tokens=8, seed=1)),
    "team",
    "likelihood",
)


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    adapters = tmp_path_factory.mktemp("adapters")
    save_adapter(tiny_model, adapters / "team@1", seed=1)
    with serving(build(tiny_model, BASE_NAME, adapters, API_KEY), adapters) as running:
        yield running


@pytest.fixture
def agents(server: RunningServer, tiny_model: Path) -> CamelAgents:
    return CamelAgents(f"{server.url}/v1", API_KEY, tiny_model / "tokenizer.json", secrets={}, patience=2)


async def test_a_reply_is_to_just_these_messages_and_nothing_of_it_is_remembered(agents: CamelAgents) -> None:
    agent = agents.create(SPEC, "team@1", max_tokens=4)
    messages = (Message("system", "You are somebody else."), Message("user", "Hello."))
    reply = await agent.reply(messages)
    assert reply.messages == messages
    assert reply.adapter == "team@1"
    assert reply.usage.output_tokens <= 4
    answer = await agent.answer("Who are you?")
    assert [message.content for message in answer.messages] == ["You are Anna.", "Who are you?"]


async def test_an_answer_is_recorded_with_all_that_is_known_of_the_call(agents: CamelAgents) -> None:
    call = await agents.create(SPEC, "team@1", None).answer("Why?")
    assert call.messages == (Message("system", "You are Anna."), Message("user", "Why?"))
    assert (call.model, call.adapter) == ("team@1", "team@1")
    assert call.model_revision
    assert call.usage.input_tokens > 0
    assert call.usage.output_tokens == 8
    assert call.finish_reason == "length"
    assert call.latency > 0
    assert call.output


async def test_base_and_adapter_and_every_seed_answer_differently_and_reproducibly(agents: CamelAgents) -> None:
    other_seed = replace(SPEC, model=replace(SPEC.model, sampling=replace(SPEC.model.sampling, seed=2)))
    wanted = [(SPEC, None), (SPEC, "team@1"), (other_seed, None), (SPEC, None)]
    calls = await asyncio.gather(*(agents.create(spec, adapter, None).answer("Why?") for spec, adapter in wanted))
    base, adapted, seeded, again = (call.output for call in calls)
    assert len({base, adapted, seeded}) == 3
    assert base == again
    assert calls[0].model == BASE_NAME
    assert calls[0].adapter is None
    assert calls[0].model_revision != calls[1].model_revision


async def test_a_model_may_have_any_name(agents: CamelAgents) -> None:
    """CAMEL takes one of the name `stub` for a stand-in of its own."""
    with pytest.raises(ModelUnavailable, match="stub"):
        await agents.create(replace(SPEC, model=replace(SPEC.model, name="stub")), None, None).answer("Why?")


async def test_the_runs_limit_caps_an_answer(agents: CamelAgents) -> None:
    assert (await agents.create(SPEC, None, 3).answer("Why?")).usage.output_tokens == 3
    assert (await agents.create(SPEC, None, 99).answer("Why?")).usage.output_tokens == 8


async def test_an_agent_that_was_reminded_goes_on_like_the_one_it_replaces(agents: CamelAgents) -> None:
    first = agents.create(SPEC, "team@1", None)
    earlier = await first.answer("Why?")
    expected = await first.answer("And then?")

    second = agents.create(SPEC, "team@1", None)
    second.remember("Why?", earlier)
    actual = await second.answer("And then?")

    assert actual.messages == expected.messages
    assert [m.role for m in actual.messages] == ["system", "user", "assistant", "user"]
    assert actual.output == expected.output


async def test_a_score_is_given_again_to_who_asks_for_that(
    server: RunningServer, nats: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv, "ANSWER_SECONDS", 60.0)
    with closing(KeyValues(nats, BUCKET)) as values:
        answers = AnswerCache(Cache(values, "s3cret"), lambda platform, adapter: {})
        agents = CamelAgents(f"{server.url}/v1", API_KEY, None, {}, patience=60, answers=answers)
        judge = agents.create(replace(SPEC, cache="1h"), None, None)
        said = [Message("user", "Why?"), Message("assistant", "Because.")]
        first, second = [await judge.score(said) for _ in range(2)]
    assert (first.cached, second.cached) == (False, True)
    assert second.score == first.score
    assert second.usage == Usage()


async def test_a_score_counts_every_turn_under_the_judges_own_system_message_and_adapter(agents: CamelAgents) -> None:
    conversation = [
        Message("user", "Why?"),
        Message("assistant", "Because."),
        Message("user", "And?"),
        Message("assistant", "So."),
    ]
    call = await agents.create(SPEC, "team@1", None).score(conversation)
    assert call.score is not None
    assert call.score < 0
    assert call.messages == (Message("system", "You are Anna."), *conversation)
    assert (call.model, call.adapter, call.finish_reason, call.output) == ("team@1", "team@1", "scored", "")
    assert call.usage.output_tokens > 0

    stranger = replace(SPEC, system_message="You are somebody else entirely.")
    judges = [agents.create(SPEC, None, None), agents.create(stranger, "team@1", None)]
    others = [await judge.score(conversation) for judge in judges]
    assert len({call.score, *(other.score for other in others)}) == 3


async def test_a_score_counts_no_turn_of_what_is_given(agents: CamelAgents) -> None:
    """Two answers to one prompt share its turns: counted, these would bring the two closer to each other."""
    given = [Message("user", "Why?"), Message("assistant", "Because."), Message("user", "And?")]
    answer = Message("assistant", "So.")
    judge = agents.create(SPEC, "team@1", None)
    alone, whole = await judge.score([answer], given), await judge.score([*given, answer])
    first = await judge.score(given[:2])
    assert alone.messages == whole.messages
    assert alone.usage.output_tokens == whole.usage.output_tokens - first.usage.output_tokens
    assert alone.score is not None
    assert alone.score != whole.score


async def test_a_verdict_is_held_to_its_schema_and_leaves_no_trace_in_memory(agents: CamelAgents) -> None:
    spacious = replace(SPEC, model=replace(SPEC.model, sampling=replace(SPEC.model.sampling, max_tokens=200)))
    agent = agents.create(spacious, None, 5)
    call = await agent.compare("Answer A: yes. Answer B: no. Which is better?")
    assert outcome_of(call.output) in {Outcome.FIRST, Outcome.SECOND, Outcome.TIE}
    assert len(call.messages) == 2
    assert len((await agent.answer("Hi")).messages) == 2


async def test_an_adapter_that_is_loaded_a_moment_later_is_waited_for(server: RunningServer, tiny_model: Path) -> None:
    agents = CamelAgents(f"{server.url}/v1", API_KEY, tiny_model / "tokenizer.json", secrets={}, patience=60)
    server.unload("team@1")
    asking = asyncio.create_task(agents.create(SPEC, "team@1", max_tokens=4).answer("Why?"))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(server.load, "team@1")
    assert (await asking).adapter == "team@1"


async def test_an_adapter_that_nobody_loads_is_waited_for_and_then_refused(
    server: RunningServer, tiny_model: Path
) -> None:
    agents = CamelAgents(f"{server.url}/v1", API_KEY, tiny_model / "tokenizer.json", secrets={}, patience=0.1)
    with pytest.raises(ModelUnavailable, match="team@7"):
        await agents.create(SPEC, "team@7", None).answer("Why?")
    with pytest.raises(ModelUnavailable, match="write `ballot: verdict`"):
        await agents.create(SPEC, "team@7", None).score([Message("user", "?"), Message("assistant", "!")])


async def test_an_endpoint_that_only_answers_is_not_waited_for_to_score() -> None:
    """It may be slow to load an adapter, but will not learn to score."""
    with ScriptedEndpoint("Hi").up() as endpoint:
        spec = replace(SPEC, model=ModelSpec("openai-compatible-model", "m", endpoint.url))
        agent = CamelAgents("http://x/v1", "key", None, secrets={}, patience=600).create(spec, "team@1", None)
        with pytest.raises(CannotScore, match="write `ballot: verdict`"):
            await asyncio.wait_for(agent.score([Message("assistant", "!")]), 20)


async def test_what_is_too_long_to_be_scored_is_refused_as_that_and_no_other_endpoint_is_advised(
    agents: CamelAgents,
) -> None:
    with pytest.raises(InputRefused, match=r"did not score an answer: .* at most \d+ can be scored") as refused:
        await agents.create(SPEC, "team@1", None).score([Message("assistant", "and so on " * 3000)])
    assert "ballot" not in str(refused.value)


async def test_an_endpoint_that_stays_away_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    factory = CamelAgents(f"http://127.0.0.1:{port}/v1", "key", None, secrets={}, patience=1)
    with pytest.raises(ModelUnavailable, match=r"did not answer for 1 s.*is it up\?"):
        await factory.create(SPEC, None, None).answer("Why?")


async def test_another_platform_of_camel_is_recorded_alike() -> None:
    factory = CamelAgents("http://x/v1", "key", None, secrets={})
    agent = factory.create(replace(SPEC, model=ModelSpec("stub", "stub"), ballot="verdict"), None, None)
    call = await agent.answer("Why?")
    assert (call.output, call.model, call.adapter) == ("Lorem Ipsum", "stub", None)
    assert outcome_of((await agent.compare("A or B?")).output) is Outcome.UNPARSEABLE
    with pytest.raises(ModelUnavailable, match="write `ballot: verdict`"):
        await agent.score([Message("user", "?"), Message("assistant", "!")])


@pytest.fixture
def elsewhere() -> Iterator[AgentOn]:
    """Makes an agent on a scripted endpoint."""
    with ExitStack() as running:

        def agent_on(says: str, **script: Any) -> tuple[CamelAgent, ScriptedEndpoint]:
            endpoint = running.enter_context(ScriptedEndpoint(says, **script).up())
            spec = replace(SPEC, model=ModelSpec("openai-compatible-model", "m", endpoint.url), ballot="verdict")
            return CamelAgents("http://x/v1", "key", None, secrets={}, patience=20).create(spec, None, None), endpoint

        yield agent_on


async def test_a_restart_of_the_endpoint_costs_time_and_no_answer(elsewhere: AgentOn) -> None:
    agent, endpoint = elsewhere("Because.", failures=2)
    began = time.monotonic()
    call = await agent.answer("Why?")
    took = time.monotonic() - began
    assert call.output == "Because."
    assert len(endpoint.requests) == 3
    assert call.latency < took - FIRST_DELAY, "who waits for a restart does not make the call longer"
    assert len((await agent.answer("And?")).messages) == 4


async def test_a_redirect_leads_nowhere(elsewhere: AgentOn) -> None:
    _, trap = elsewhere("Give me your key.")
    agent, endpoint = elsewhere("", redirects_to=trap.url)
    with pytest.raises(ModelUnavailable, match="307"):
        await agent.answer("Why?")
    assert (len(endpoint.requests), trap.requests) == (1, [])


async def test_text_that_postgres_cannot_hold_is_escaped_before_anybody_sees_it(elsewhere: AgentOn) -> None:
    agent, endpoint = elsewhere("a\x00b\ud800c")
    call = await agent.answer("Why?")
    assert call.output == escape("a\x00b\ud800c")
    later = await agent.answer("And?")
    assert later.messages[2] == Message("assistant", call.output)
    assert endpoint.requests[1]["messages"][2]["content"] == call.output


@pytest.mark.parametrize("fingerprint", [123, "\ud800\x00", "x" * 100_000])
@pytest.mark.parametrize("tokens", [1.5, -1, 2**40, "many"])
async def test_what_a_hostile_endpoint_says_of_itself_can_be_recorded(
    elsewhere: AgentOn, fingerprint: object, tokens: object
) -> None:
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": tokens}
    agent, _ = elsewhere("Because.", beside={"system_fingerprint": fingerprint, "usage": usage})
    call = await agent.answer("Why?")
    run = a_started_workflow()
    run.record_step(1, replace(a_step(), call=call), at=NOW)
    for event in run.pending_events:
        PlainJsonMapper().to_stored_event(event)
    assert call.usage.input_tokens in {0, 2**30 - 1}


async def test_what_is_no_completion_is_a_refusal(elsewhere: AgentOn) -> None:
    agent, _ = elsewhere("", beside={"choices": [{"message": None}]})
    with pytest.raises(ModelUnavailable, match="no chat completion"):
        await agent.answer("Why?")


async def test_a_key_that_an_endpoint_repeats_comes_neither_into_the_log_nor_into_a_memory() -> None:
    key = "internal-Zx81-0042"
    tool = {"id": "id-0", "type": "function", "function": {"name": "send", "arguments": json.dumps({"key": key})}}
    echo = {"role": "assistant", "content": f"It is {key}.", "tool_calls": [tool]}
    answers = {"choices": [{"index": 0, "message": echo, "finish_reason": key}], "system_fingerprint": key}
    refusal = (401, f"Invalid token: {key}. " + "x" * 450 + key)
    with ScriptedEndpoint("", failures=1, failure=refusal, beside=answers).up() as endpoint:
        model = ModelSpec("openai-compatible-model", "m", endpoint.url, "SOME_API_KEY")
        hide = KnownSecrets([key]).hide
        agents = CamelAgents("http://x/v1", "key", None, secrets={"SOME_API_KEY": key}, hide=hide)
        agent = agents.create(replace(SPEC, model=model, ballot="verdict"), None, None)
        with pytest.raises(ModelUnavailable) as refused:
            await agent.answer("Why?")
        call = await agent.answer("Which key?")
        later = await agent.answer("And?")
    assert "Invalid token: ***." in str(refused.value)
    assert (call.output, call.tool_calls[0].arguments) == ("It is ***.", '{"key": "***"}')
    assert endpoint.keys == [f"Bearer {key}"] * 3
    assert not [text for text in (str(refused.value), str(call), str(later)) if "internal" in text]


async def test_an_empty_answer_is_an_answer_and_roles_still_alternate(elsewhere: AgentOn) -> None:
    agent, _ = elsewhere("")
    assert (await agent.answer("Why?")).output == ""
    later = await agent.answer("And?")
    assert [(m.role, m.content) for m in later.messages[1:]] == [("user", "Why?"), ("assistant", ""), ("user", "And?")]


async def test_a_verdict_is_one_call_even_where_the_schema_is_ignored(elsewhere: AgentOn) -> None:
    agent, endpoint = elsewhere("I like both of them.")
    call = await agent.compare("A or B?")
    assert outcome_of(call.output) is Outcome.UNPARSEABLE
    assert len(endpoint.requests) == 1


async def test_an_endpoint_that_knows_no_schemas_is_asked_without_one_from_then_on(elsewhere: AgentOn) -> None:
    agent, endpoint = elsewhere("B", refuses_schemas=True)
    verdicts = [outcome_of((await agent.compare("A or B?")).output) for _ in range(2)]
    assert verdicts == [Outcome.SECOND, Outcome.SECOND]
    assert ["response_format" in request for request in endpoint.requests] == [True, False, False]


async def test_questions_that_are_refused_at_once_are_all_asked_again_without_a_schema(elsewhere: AgentOn) -> None:
    agent, endpoint = elsewhere("B", refuses_schemas=True)
    calls = await asyncio.gather(*(agent.compare("A or B?") for _ in range(6)))
    assert [outcome_of(call.output) for call in calls] == [Outcome.SECOND] * 6
    assert sum("response_format" not in request for request in endpoint.requests) == 6


@pytest.mark.parametrize("ballot", ["likelihood", "verdict"])
async def test_a_whole_mutual_ranking_becomes_preferences(agents: CamelAgents, ballot: str) -> None:
    sampling = SPEC.model.sampling
    specs = [
        replace(SPEC, name=name, ballot=ballot, model=replace(SPEC.model, sampling=replace(sampling, seed=seed)))
        for seed, name in enumerate(("anna", "ben", "cleo", "dan"))
    ]
    stage = Stage(specs, promoted={"team": "team@1"})
    run = stage.request("Why is the sky blue?", "And at night?")
    await stage.worker(agents).play(run)

    completed = stage.store.history(run)[-1]
    assert isinstance(completed.event, Workflow.Completed), completed.event
    assert completed.event.ballots == {"likelihood": 12, "verdict": 24}[ballot]
    assert {step.call.adapter for step in stage.steps(run)} == {"team@1"}
    await ProposePairs(stage.store, stage.store.bus().execute, BradleyTerry(), WORKER).handle(completed)
    if ballot == "likelihood":
        pairs = [e.event.pair for e in stage.store.read() if isinstance(e.event, Preference.Proposed)]
        assert pairs
        assert all([m.role for m in p.chosen.messages] == ["assistant", "user", "assistant"] for p in pairs)


def test_tokens_are_counted_without_a_network(tiny_model: Path) -> None:
    exact, guess = token_counter(tiny_model / "tokenizer.json"), token_counter(None)
    assert isinstance(exact, ExactTokenCounter)
    assert isinstance(guess, ApproximateTokenCounter)
    text = "The quick brown fox jumps over the lazy dog, twice. \U0001f600"
    for counter in (exact, guess):
        assert counter.decode(counter.encode(text)) == text
    assert len(exact.encode(text)) <= len(guess.encode(text)) <= 2 * len(exact.encode(text))
    assert guess.count_tokens_from_messages([{"role": "user", "content": text}]) == len(guess.encode(text)) + 5
