"""Two models answer one prompt, and judges who do not know them say which answer is better."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from uuid import UUID, uuid5

from loguru import logger

from commands.policies.judging import METHODS, Answer, AnswerPair
from commands.policies.together import together
from domain.evaluation_figures import Duel, Judged, Likelihood, ScoredPair
from domain.model_call import Message, ModelCall, Usage
from domain.ports.agents import Agent, InputRefused
from domain.ports.datasets import HeldPair
from domain.ranking import Ballot
from domain.sameness import prompt_key
from domain.steps import Step, step_id

AT_ONCE = 8
"""Model calls of one evaluation that are under way at the same time."""


class Contest:
    """`contestants` by name, of which `adapter` is measured against `against`; `judges` by name. `id` and `seed` decide
    who is shown first."""

    def __init__(
        self,
        id: UUID,
        seed: int,
        adapter: str,
        against: str,
        contestants: Mapping[str, Agent],
        judges: Mapping[str, Agent],
    ) -> None:
        self._id = id
        self._seed = seed
        self._adapter = adapter
        self._against = against
        self._contestants = contestants
        self._judges = judges
        self._room = asyncio.Semaphore(AT_ONCE)

    async def score(self, pair: HeldPair) -> ScoredPair:
        """How likely each contestant finds the two answers of a held-out pair. Raises ModelUnavailable."""

        async def likelihoods(model: Agent) -> tuple[Likelihood, Likelihood]:
            chosen, rejected = await together(
                *(self._likelihood(model, answer, pair.prompt) for answer in (pair.chosen, pair.rejected))
            )
            return chosen, rejected

        found = await together(*(likelihoods(model) for model in self._contestants.values()))
        prompt = prompt_key(pair.prompt).hex()
        return ScoredPair(pair.preference_id, prompt, dict(zip(self._contestants, found, strict=True)))

    async def duel(self, prompt: tuple[Message, ...]) -> Duel:
        """Both answer it, each judge compares the answers. Raises ModelUnavailable."""
        models = [self._contestants[name] for name in (self._adapter, self._against)]
        ours, other = await together(*(self._answer(model, prompt) for model in models))
        duel = Duel(shown(prompt), ours, other)
        if duel.settled is not None:
            return duel
        panel = Panel(uuid5(self._id, shown(prompt)), self._judges, self._room)
        asked = tuple(message for message in prompt if message.role != "system")
        mine, its = (
            Answer(name, step_id(panel.id, name, "answer", 0), (Message("assistant", text),), given=asked)
            for name, text in ((self._adapter, ours), (self._against, other))
        )
        await together(*(self._judge(panel, judge, mine, its) for judge in self._judges))
        ballots = [
            Judged(ballot.judge, ballot.method, ballot.outcome, ballot.first == mine.step, ballot.margin)
            for ballot in sorted(panel.ballots, key=lambda ballot: (ballot.judge, ballot.id))
        ]
        return replace(duel, ballots=tuple(ballots))

    async def _judge(self, panel: Panel, judge: str, mine: Answer, its: Answer) -> None:
        """Which of the two is A is drawn for each prompt and judge; one that is asked for words sees both orders."""
        drawn = sha256(f"{self._seed}/{panel.id}/{judge}".encode()).digest()[0] % 2
        pair: AnswerPair = (mine, its) if drawn else (its, mine)
        await METHODS[self._judges[judge].spec.ballot](panel, judge, [pair])

    async def _answer(self, model: Agent, prompt: Sequence[Message]) -> str:
        async with self._room:
            return (await model.reply(prompt)).output

    async def _likelihood(self, model: Agent, answer: Sequence[Message], prompt: Sequence[Message]) -> Likelihood:
        """Of the answer alone: the assistant's words in the prompt are the same of both."""
        async with self._room:
            call = await model.score(answer, given=prompt)
        if call.score is None:
            raise ValueError(f"{call.model} gave no score")
        return Likelihood(call.score * call.usage.output_tokens, call.score)


class Panel:
    """What judging needs of a run: its judges, and where their ballots go. Nothing of it becomes an event by itself."""

    def __init__(self, id: UUID, agents: Mapping[str, Agent], room: asyncio.Semaphore) -> None:
        self.id = id
        self.agents = agents
        self.ballots: list[Ballot] = []
        self._room = room

    async def step(self, agent: str, phase: str, n: int, call: Callable[[], Awaitable[ModelCall]]) -> Step:
        """Makes the call. A judge that does not take the answers has said nothing of them: its ballot cannot be read,
        and others vote."""
        async with self._room:
            try:
                made = await call()
            except InputRefused as refused:
                logger.warning("judge {} casts a ballot that cannot be read: {}", agent, refused)
                made = ModelCall(
                    (), "", self.agents[agent].spec.model.name, Usage(), 0.0, "refused", error=str(refused)
                )
        return Step(step_id(self.id, agent, phase, n), agent, phase, n, made)

    async def cast(self, ballot: Ballot) -> None:
        """Keeps the judge's opinion."""
        self.ballots.append(ballot)


def shown(prompt: Sequence[Message]) -> str:
    """A prompt as judges see it."""
    return "\n\n".join(message.content for message in prompt if message.role != "system")
