"""How much a pair counts in the loss, on batches that are small enough to be reckoned by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from adapters.dpo.weighting import WeightedDPOTrainer
from domain.training_config import LOSSES

BETA = 0.1
ANSWERS = [
    ("Ahoy!", "Good day to you, sir, and to your lady too."),
    ("It is the next one, and that is all there is to say of it.", "No."),
    ("Yes.", "Perhaps."),
    ("Three and four make seven.", "Three and four make eight."),
]
MAX_LENGTH = 40
"""Cuts the longer answers of the first two pairs."""


@dataclass(frozen=True)
class Bench:
    """A trainer, with an adapter that is not the base model any more."""

    trainer: DPOTrainer

    def batch(self, *weights: float) -> dict[str, Tensor]:
        """Of the first pairs, with these weights where the trainer knows weights."""
        rows = [dict(row) for row in self.trainer.train_dataset.select(range(len(weights)))]
        batch: dict[str, Tensor] = self.trainer.data_collator(rows)
        return batch | ({"weight": torch.tensor(weights)} if isinstance(self.trainer, WeightedDPOTrainer) else {})

    def batch_of(self, pair: int) -> dict[str, Tensor]:
        """That pair alone."""
        batch: dict[str, Tensor] = self.trainer.data_collator([dict(self.trainer.train_dataset[pair])])
        return batch

    def logged(self, *batches: dict[str, Tensor]) -> dict[str, float]:
        """What is said of a step of these batches."""
        self.trainer.log({})
        for batch in batches:
            self.loss(batch)
        logs: dict[str, float] = {}
        self.trainer.log(logs)
        return logs

    def margins_and_leads(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Of each pair, by hand: the margin without beta, and the chosen answer's lead in tokens."""
        now, base = self.log_probs(batch)
        return _lead(now - base), _lead(batch["completion_mask"][:, 1:].sum(dim=1).float())

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        loss: Tensor = self.trainer.compute_loss(self.trainer.model, batch)
        return loss

    def gradient(self, batch: dict[str, Tensor]) -> Tensor:
        """Of all the adapter's weights, in a row."""
        self.trainer.model.zero_grad()
        self.loss(batch).backward()
        return torch.cat([p.grad.flatten() for p in self.trainer.model.parameters() if p.grad is not None])

    @contextmanager
    def losing(self, *kinds: str, weights: Iterable[float] = (1.0,)) -> Iterator[None]:
        """With these losses."""
        trainer = self.trainer
        before = trainer.loss_types, trainer.loss_weights
        trainer.loss_types, trainer.loss_weights = list(kinds), list(weights)
        try:
            yield
        finally:
            trainer.loss_types, trainer.loss_weights = before

    def log_probs(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Of each answer the sum over its tokens, as the adapter and as the base model see it, by hand."""
        model, mask = self.trainer.model, batch["completion_mask"][:, 1:]

        def summed() -> Tensor:
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
            said = logits.log_softmax(-1).gather(-1, batch["input_ids"][:, 1:, None]).squeeze(-1)
            return (said * mask).sum(dim=1)

        with torch.no_grad():
            now = summed()
            with model.disable_adapter():
                return now, summed()


@pytest.fixture(scope="module")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return partial(make, tiny_model, tmp_path_factory.mktemp("trainers"))


@pytest.fixture(scope="module")
def ours(made: Any) -> Bench:
    """Of pairs that do not all weigh the same."""
    return Bench(made(WeightedDPOTrainer, (1.0, 0.5, 0.25, 1.0)))


@pytest.fixture(scope="module")
def sure(made: Any) -> Bench:
    """Of pairs that all weigh 1."""
    return Bench(made(WeightedDPOTrainer, (1.0, 1.0, 1.0, 1.0)))


@pytest.fixture(scope="module")
def theirs(made: Any) -> Bench:
    """TRL's own."""
    return Bench(made(DPOTrainer, (1.0, 1.0, 1.0, 1.0)))


def _lead(of_answers: Tensor) -> Tensor:
    chosen, rejected = of_answers.chunk(2)
    return chosen - rejected


def make(
    base: Path,
    folder: Path,
    kind: type[DPOTrainer],
    weights: tuple[float, ...],
    precompute: bool = True,
    batch: int = 8,
    **more: Any,
) -> Any:
    trainer = kind(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=DPOConfig(
            output_dir=str(folder),
            beta=BETA,
            label_smoothing=0.1,
            max_length=MAX_LENGTH,
            precompute_ref_log_probs=precompute,
            per_device_train_batch_size=batch,
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            report_to="none",
        ),
        train_dataset=Dataset.from_list([a_row(*said, weight) for said, weight in zip(ANSWERS, weights, strict=True)]),
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
        **more,
    )
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weights_of_layer in trainer.model.named_parameters():
            if "lora_B" in name:
                weights_of_layer.copy_(torch.randn(weights_of_layer.shape, generator=chance))
    trainer.model.train()
    return trainer


def a_row(chosen: str, rejected: str, weight: float) -> dict[str, Any]:
    def said(role: str, content: str) -> list[dict[str, str]]:
        return [{"role": role, "content": content}]

    answers = {"chosen": said("assistant", chosen), "rejected": said("assistant", rejected)}
    return {"prompt": said("user", "And?"), **answers, "weight": weight}


@pytest.mark.parametrize("kind", sorted(LOSSES))
def test_weights_of_1_give_the_very_loss_and_gradient_of_trl(kind: str, sure: Bench, theirs: Bench) -> None:
    with sure.losing(kind), theirs.losing(kind):
        our_batch, their_batch = sure.batch(1, 1, 1, 1), theirs.batch(1, 1, 1, 1)
        assert torch.equal(sure.loss(our_batch), theirs.loss(their_batch))
        assert torch.equal(sure.gradient(our_batch), theirs.gradient(their_batch))


@pytest.mark.parametrize("kind", sorted(LOSSES))
def test_the_losses_of_pairs_alone_make_up_that_of_their_batch(kind: str, ours: Bench, theirs: Bench) -> None:
    with ours.losing(kind), theirs.losing(kind):
        our_batch, their_batch = ours.batch(1, 1, 1, 1), theirs.batch(1, 1, 1, 1)
        torch.testing.assert_close(ours.loss(our_batch), theirs.loss(their_batch), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(ours.gradient(our_batch), theirs.gradient(their_batch), rtol=1e-4, atol=1e-5)


def test_the_weighted_loss_of_dpo_is_what_one_reckons_by_hand(ours: Bench) -> None:
    weights = torch.tensor([1.0, 0.5, 0.25, 0.0])
    batch = ours.batch(*weights.tolist())
    now, base = ours.log_probs(batch)
    chosen, rejected = (now - base).chunk(2)
    by_hand = (weights * -logsigmoid(BETA * (chosen - rejected))).sum() / 4
    with ours.losing("sigmoid"):
        torch.testing.assert_close(ours.loss(batch), by_hand, rtol=1e-5, atol=1e-6)


def test_the_weighted_loss_of_sft_is_what_one_reckons_by_hand(ours: Bench) -> None:
    weights = torch.tensor([1.0, 0.5, 0.25, 0.0])
    batch = ours.batch(*weights.tolist())
    chosen, _ = ours.log_probs(batch)[0].chunk(2)
    tokens = batch["completion_mask"][:4, 1:].sum()
    by_hand = (weights * -chosen).sum() / tokens
    with ours.losing("sft"):
        torch.testing.assert_close(ours.loss(batch), by_hand, rtol=1e-5, atol=1e-6)
    with ours.losing("sigmoid", "sft", weights=(1.0, 0.5)):
        both = ours.loss(batch)
    with ours.losing("sigmoid"):
        torch.testing.assert_close(both, ours.loss(batch) + 0.5 * by_hand, rtol=1e-5, atol=1e-6)


def test_half_the_weight_is_half_the_gradient_whoever_else_is_in_the_batch(ours: Bench) -> None:
    with ours.losing("sigmoid"):
        full, half, without = (ours.gradient(ours.batch(weight, 1.0)) for weight in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half - without, (full - without) / 2, rtol=1e-4, atol=1e-6)
    assert full.abs().max() > 1e-3


def test_a_reference_that_is_asked_during_the_training_says_the_same(made: Any, ours: Bench) -> None:
    asked = Bench(made(WeightedDPOTrainer, (1.0, 0.5, 0.25, 1.0), precompute=False))
    weights = (1.0, 0.5, 0.25, 1.0)
    torch.testing.assert_close(asked.loss(asked.batch(*weights)), ours.loss(ours.batch(*weights)), rtol=1e-5, atol=1e-6)


def test_a_batch_is_measured_once_and_as_one_reckons_by_hand(ours: Bench) -> None:
    batch = ours.batch(1.0, 0.5, 0.25, 1.0)
    ours.trainer._metrics["train"].clear()
    ours.loss(batch)
    measured = dict(ours.trainer._metrics["train"])
    assert {len(values) for values in measured.values()} == {1}
    now, base = ours.log_probs(batch)
    lengths = batch["completion_mask"][:, 1:].sum(dim=1)
    a_token = (now - base) / lengths
    chosen, rejected = lengths.float().chunk(2)
    expected = {
        "kl": (torch.exp(-a_token) - 1 + a_token).mean(),
        "chosen_shift": (now - base).chunk(2)[0].mean(),
        "chosen_length": chosen.mean(),
        "length_lead": (chosen - rejected).mean(),
        "truncated": batch["truncated"].float().mean(),
    }
    for name, value in expected.items():
        assert measured[name] == [pytest.approx(float(value), rel=1e-3, abs=1e-5)], name
    assert batch["truncated"].tolist() == [True, True, False, False]


def test_margins_and_lengths_are_compared_over_all_batches_of_a_step(ours: Bench) -> None:
    batches = [ours.batch_of(pair) for pair in range(4)]
    margins, leads = map(torch.cat, zip(*map(ours.margins_and_leads, batches), strict=True))
    by_hand = float(torch.corrcoef(torch.stack([margins, leads]))[0, 1])
    assert ours.logged(*batches)["length_correlation"] == pytest.approx(by_hand, rel=1e-3)
    assert "length_correlation" not in ours.logged(*batches[:2]), "two pairs tell nothing, nor do those of before"


def test_the_reference_is_asked_about_no_batch_more_once_that_is_to_end(made: Any) -> None:
    asked: list[None] = []

    class Enough(Exception):
        pass

    def heed() -> None:
        if len(asked) == 2:
            raise Enough
        asked.append(None)

    with pytest.raises(Enough):
        made(WeightedDPOTrainer, (1.0, 0.5, 0.25, 0.75), batch=1, heed=heed)
    assert len(asked) == 2
