"""One agent instructs and another one does, until the first says that the task is done."""

from __future__ import annotations

import pytest

from domain.model_call import ModelCall
from domain.ports.agents import Heard
from domain.role_play import DONE, MOST_ROUNDS, is_done
from domain.roster import AgentSpec
from domain.workflow import State
from tests.played_runs import Stage
from tests.scripted_agents import ScriptedAgent, ScriptedAgents, a_spec

SPECS = [a_spec("manager"), a_spec("programmer")]


class DoneAfter(ScriptedAgents):
    """Agents of which the one who instructs says after so many instructions that the task is done."""

    instructions = 2

    def create(self, spec: AgentSpec, adapter: str | None, max_tokens: int | None) -> ScriptedAgent:
        agent, answer = super().create(spec, adapter, max_tokens), ScriptedAgent.answer

        async def instruct(heard: Heard, tools: bool = True) -> ModelCall:
            if len(agent.memory) < 2 * self.instructions:
                return await answer(agent, heard, tools)
            call = agent._call("answer", (), f"{DONE}.")
            agent.remember(heard, call)
            return call

        if spec.name == "manager":
            agent.answer = instruct  # type: ignore[method-assign]
        return agent


async def test_each_hears_what_the_other_one_says_until_the_task_is_done() -> None:
    stage = Stage(SPECS)
    run = stage.request("Write a game.", "In Python.", kind="role_playing")
    await stage.worker(DoneAfter()).play(run)
    assert stage.run(run).state is State.COMPLETED
    steps = stage.steps(run)
    assert [(step.agent, step.phase, step.n) for step in steps] == [
        ("manager", "instruct", 0),
        ("programmer", "answer", 0),
        ("manager", "instruct", 1),
        ("programmer", "answer", 1),
        ("manager", "instruct", 2),
    ]
    first, reply, second, *_ = (step.call for step in steps)
    assert "Write a game.\n\nIn Python." in first.messages[-1].content
    assert first.output in reply.messages[-1].content
    assert second.messages[-1].content == reply.output


async def test_a_play_that_does_not_end_by_itself_is_ended() -> None:
    stage = Stage(SPECS)
    run = stage.request("Write a game.", kind="role_playing")
    await stage.worker(ScriptedAgents()).play(run)
    assert stage.run(run).state is State.COMPLETED
    assert len(stage.steps(run)) == 2 * MOST_ROUNDS


@pytest.mark.parametrize("said", [DONE, f"<{DONE}>", f"Well done!\n\n**{DONE}**.\n"])
def test_the_word_alone_ends_it(said: str) -> None:
    assert is_done(said)


@pytest.mark.parametrize("said", ["", "Go on.", f"Reply with {DONE} when it is done.", f"{DONE}\nInstruction: go on"])
def test_the_word_among_others_does_not(said: str) -> None:
    assert not is_done(said)
