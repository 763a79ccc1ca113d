"""An adapter and its base, evaluated on a real model server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from uuid import UUID

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from adapters.artifacts import JobResults
from adapters.camel_agents import CamelAgents
from adapters.dataset_pairs import FilesOfPairs
from adapters.model_server.server import build
from commands.evaluations import RequestEvaluation
from domain.evaluation import Plan
from domain.job import Json
from tests.evaluations import Court
from tests.integration.model_servers import API_KEY, BASE_NAME, RunningServer, save_adapter, serving
from tests.integration.trainings import some_pairs

NUMBERS = range(100, 112)


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    adapters = tmp_path_factory.mktemp("adapters")
    for revision in (1, 2):
        save_adapter(tiny_model, adapters / f"team@{revision}", seed=revision)
    with serving(build(tiny_model, BASE_NAME, adapters, API_KEY), adapters) as running:
        yield running


def asked(n: int) -> list[dict[str, str]]:
    """With words of the assistant that both answers of a pair share."""
    said = [("user", "Can you count?"), ("assistant", "Yes, as far as you like."), ("user", f"What comes after {n}?")]
    return [{"role": role, "content": content} for role, content in said]


def held_out(folder: Path) -> Path:
    """Pairs on prompts that nobody was trained on."""
    rows = []
    for n in NUMBERS:
        row = json.loads(some_pairs()[0])
        row["prompt"] = asked(n)
        row["rejected"][0]["content"] = f"The number {n + 1}."
        row["preference_id"] = str(UUID(int=n))
        rows.append(json.dumps(row))
    file = folder / "held-out.jsonl"
    file.write_text("\n".join(rows) + "\n")
    return file


async def test_base_and_adapter_are_asked_on_a_real_model_server(
    server: RunningServer, tiny_model: Path, tmp_path: Path
) -> None:
    court = Court(BASE_NAME)
    for _ in range(2):
        court.an_adapter(court.a_dataset(train=["rain"], test=["fog"]))
    other, file = court.a_dataset(train=["anything"]), held_out(tmp_path)
    trained_on = tmp_path / "trained-on.jsonl"
    trained_on.write_bytes(b"".join(some_pairs()))
    datasets = FilesOfPairs(lambda dataset, _part: file if dataset == other else trained_on)
    agents = CamelAgents(f"{server.url}/v1", API_KEY, tiny_model / "tokenizer.json", secrets={}, patience=5)
    court.datasets, court.files, court.agents = datasets, JobResults(tmp_path), agents
    id = court.ask(RequestEvaluation("team@2", "team@1", dataset_id=other, plan=Plan(prompts=4, max_tokens=8)))
    await court.evaluate(id)
    await agents.close()
    found = court.figures(id)
    assert [one.model for one in found.accuracies] == ["base", "team@1", "team@2"]
    assert (found.pairs, found.seen, found.prompts) == (len(NUMBERS), 0, 4)
    assert all(one.by_total.low <= one.by_total.value <= one.by_total.high for one in found.accuracies)
    [first] = [pair for pair in court.items(id)["pairs"] if pair["preference_id"] == str(UUID(int=NUMBERS[0]))]
    chosen, rejected = first["scores"]["base"]
    for found_by_model, answer in (
        (chosen, "Ahoy, that be the next one!"),
        (rejected, f"The number {NUMBERS[0] + 1}."),
    ):
        total, mean = by_hand(tiny_model, asked(NUMBERS[0]), answer)
        assert found_by_model["total"] == pytest.approx(total, rel=1e-3)
        assert found_by_model["mean"] == pytest.approx(mean, rel=1e-3)
    assert first["scores"]["team@1"][0] != chosen
    judged = [duel for duel in court.items(id)["prompts"] if duel["ballots"]]
    assert judged
    for duel in judged:
        lead = judges_mean(server, duel, "answer") - judges_mean(server, duel, "other")
        assert duel["ballots"][0]["margin"] == pytest.approx(abs(lead), rel=1e-3)


def judges_mean(server: RunningServer, duel: Json, which: str) -> float:
    """Per token of that answer alone, in nats."""
    n = next(n for n in NUMBERS if f"after {n}?" in duel["prompt"])
    messages = [{"role": "system", "content": "You judge answers fairly."}, *asked(n)]
    scored = server.post("score", {"model": BASE_NAME, "messages": messages, "answer": duel[which]})
    return float(scored.raise_for_status().json()["mean_logprob"])


def by_hand(model_dir: Path, asked: list[dict[str, str]], answer: str) -> tuple[float, float]:
    """The log-probability of the answer's tokens, without its end, and its mean, in nats."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    begun = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    said = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": answer}], tokenize=False)
    prefix, whole = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (begun, said.rstrip("\n")))
    with torch.no_grad():
        logprobs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    of_answer = [float(logprobs[n - 1, whole[n]]) for n in range(len(prefix), len(whole) - 1)]
    return sum(of_answer), fmean(of_answer)
