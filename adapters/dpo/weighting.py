"""TRL's DPOTrainer, in whose loss each pair has a weight, and which measures more of each batch.

The loss of a batch is `sum(weight * loss) / pairs`. It is divided by the number of pairs and not by the sum of their
weights: so weights of 1 give TRL's own loss, one of 0.5 halves what the pair does to the gradient, whichever others it
meets in its batch, and a batch of doubtful pairs makes a small step.

A pair's own loss is TRL's as well. The model sees the batch once; then TRL is asked about each pair as a batch of one,
on what the model said of it. Only `sft` is a mean over all tokens of a batch: a pair counts there by its weight and by
its share of the tokens, as it does in TRL.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import torch
from datasets import Dataset
from peft import PeftModel, set_peft_model_state_dict
from torch import Tensor
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from adapters.dpo.pairs import BadDataset
from adapters.model_server.adapter_check import Adapter
from domain.training import Reference

Inputs = dict[str, Tensor]

OURS = ("weight", "truncated")
"""What each batch has besides TRL's columns: a pair's weight, and whether `max_length` cuts one of its answers."""

FEWEST_TO_CORRELATE = 3


class WeighingCollator(DataCollatorForPreference):
    """TRL's, and OURS."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        longest = self.max_length or float("inf")
        cut = [
            len(pair["prompt_ids"]) + max(len(pair["chosen_ids"]), len(pair["rejected_ids"])) > longest
            for pair in examples
        ]
        batch: dict[str, Any] = super().torch_call(examples)
        return batch | {"weight": torch.tensor([pair["weight"] for pair in examples]), "truncated": torch.tensor(cut)}


class WeightedDPOTrainer(DPOTrainer):
    """Of a dataset with a column `weight`. `start` is an adapter to go on from, one of the form that `peft_config` has;
    with `reference` START it is also what log-probabilities are compared with, which have to be precomputed then.
    `heed` is called before each batch of these, which may take hours, and raises whatever is to end it."""

    def __init__(
        self,
        *args: Any,
        start: Adapter | None = None,
        reference: Reference = Reference.BASE,
        heed: Callable[[], None] = lambda: None,
        **kwargs: Any,
    ):
        self._reference_adapter = start if reference is Reference.START else None
        self._heed = heed
        self._compared: list[Tensor] = []
        super().__init__(*args, **kwargs)
        if start:
            set_peft_model_state_dict(self.model, start.tensors())
        self.data_collator = WeighingCollator(**vars(self.data_collator))
        # From here on the reference's log-probabilities come with each batch, see `_compute_loss`.
        self._precomputed, self.precompute_ref_logps = self.precompute_ref_logps, True
        self._weighs = any(weight != 1 for weight in self.pairs["weight"])

    @property
    def pairs(self) -> Dataset:
        """The tokenized pairs, with their reference log-probabilities where those are precomputed."""
        return cast(Dataset, self.train_dataset)

    def mean_of(self, column: str) -> float | None:
        """Over all pairs; None where there is no such column."""
        return sum(self.pairs[column]) / len(self.pairs) if column in self.pairs.column_names else None

    def _prepare_dataset(self, *args: Any, **kwargs: Any) -> Dataset:
        """TRL drops pairs whose prompt alone fills max_length, and stumbles when no pair is left."""
        prepared = super()._prepare_dataset(*args, **kwargs)
        if not len(prepared):
            raise BadDataset("every prompt alone fills max_length: raise it")
        return prepared

    def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Dataset:
        """TRL asks the adapter `ref` where there is one, and otherwise the base model."""
        if self._reference_adapter is None:
            return super()._precompute_ref_logps(*args, **kwargs)
        model = cast(PeftModel, self.model)
        model.add_adapter("ref", self._reference_adapter.settings.peft_config())
        set_peft_model_state_dict(model, self._reference_adapter.tensors(), adapter_name="ref")
        try:
            return super()._precompute_ref_logps(*args, **kwargs)
        finally:
            model.delete_adapter("ref")

    def compute_ref_log_probs(self, model: Any, inputs: Inputs) -> Any:
        """For TRL, which precomputes them; `_compute_loss` asks amid a step, which nothing ends."""
        self._heed()
        return super().compute_ref_log_probs(model, inputs)  # type: ignore[no-untyped-call]

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[no-untyped-call]
        columns = cast(list[str], self._signature_columns)
        if "weight" not in columns:
            columns.append("weight")

    def _compute_loss(self, model: Callable[..., Any], inputs: Inputs, return_outputs: bool) -> Any:
        inputs, (weights, truncated) = _without_ours(inputs)
        if not self._precomputed:
            logps = super().compute_ref_log_probs(self.model, inputs)  # type: ignore[no-untyped-call]
            inputs |= dict(zip(("ref_chosen_logps", "ref_rejected_logps"), logps, strict=True))
        heard = Heard(model)
        loss = super()._compute_loss(heard, inputs, return_outputs)  # type: ignore[no-untyped-call]
        self._measure(heard.outputs, inputs, truncated)
        if not self._weighs or return_outputs:
            return loss
        with self._aside():
            return (torch.stack(list(self._losses(inputs, heard.outputs))) * weights).mean()

    def _losses(self, inputs: Inputs, outputs: Mapping[str, Any]) -> Iterator[Tensor]:
        """Of each pair the loss that TRL finds; their mean is that of the batch."""
        chosen_mask, _ = inputs["completion_mask"][:, 1:].chunk(2)
        tokens = chosen_mask.sum(dim=1)
        shares = tokens * len(tokens) / tokens.sum()
        loss_weights = self.loss_weights
        for pair, share in enumerate(shares):
            kinds = zip(self.loss_types, loss_weights, strict=True)
            self.loss_weights = [weight * share if kind == "sft" else weight for kind, weight in kinds]
            said = SimpleNamespace(**_of_pair(outputs, pair, len(shares)))
            alone = _of_pair(inputs, pair, len(shares))
            yield super()._compute_loss(lambda said=said, **_: said, alone, False)  # type: ignore[no-untyped-call]

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """What TRL notes meanwhile is not kept: it has noted the batch already."""
        kept = self._metrics, self._total_train_tokens, self.loss_weights
        self._metrics = {mode: defaultdict(list) for mode in self._metrics}
        try:
            yield
        finally:
            self._metrics, self._total_train_tokens, self.loss_weights = kept

    @torch.no_grad()
    def _measure(self, outputs: Mapping[str, Any], inputs: Inputs, truncated: Tensor) -> None:
        """Adds to what TRL logs; domain.training_progress says what it means."""
        lengths = inputs["completion_mask"][:, 1:].sum(dim=1)
        reference = torch.cat([inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]])
        lead = outputs["log_probs"].sum(dim=1) - reference
        a_token = lead / lengths.clamp(min=1)
        kl = torch.expm1(-a_token) + a_token
        of_pairs = (*lead.chunk(2), *lengths.float().chunk(2), *kl.chunk(2), truncated.float())
        chosen, rejected, long, short, kl_chosen, kl_rejected, cut = self.accelerator.gather(of_pairs)
        found = {
            "kl": (kl_chosen + kl_rejected).mean() / 2,
            "chosen_shift": chosen.mean(),
            "chosen_length": long.mean(),
            "length_lead": (long - short).mean(),
            "truncated": cut.mean(),
        }
        self._compared.append(torch.stack([chosen - rejected, long - short]).float().cpu())
        metrics = self._metrics["train" if cast(PeftModel, self.model).training else "eval"]
        for name, value in found.items():
            metrics[name].append(value.item())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds what only all pairs of a step tell together: a batch may be of one."""
        logs |= _length_correlation(self._compared)
        self._compared.clear()
        super().log(logs, start_time)


class Heard:
    """A model that remembers what it said last."""

    def __init__(self, model: Callable[..., Any]) -> None:
        self._model = model
        self.outputs: Mapping[str, Any] = {}

    def __call__(self, **inputs: Any) -> Any:
        outputs = self._model(**inputs)
        self.outputs = dict(outputs)
        return outputs


def _without_ours(inputs: Inputs) -> tuple[Inputs, tuple[Tensor, ...]]:
    theirs = {name: value for name, value in inputs.items() if name not in OURS}
    return theirs, tuple(inputs[name] for name in OURS)


def _of_pair(tensors: Mapping[str, Any], pair: int, pairs: int) -> dict[str, Any]:
    """The rows of one pair: chosen answers come first, then the rejected, and some columns have a row a pair."""
    rows = {2 * pairs: [pair, pairs + pair], pairs: [pair]}
    return {
        name: value[rows[len(value)]] if isinstance(value, Tensor) and value.dim() else value
        for name, value in tensors.items()
    }


def _length_correlation(compared: Sequence[Tensor]) -> dict[str, float]:
    """Pearson's, of margins with leads in length, batch by batch; nothing where it means nothing."""
    pairs = torch.cat([torch.zeros(2, 0), *compared], dim=1)
    if pairs.shape[1] < FEWEST_TO_CORRELATE or not pairs.std(dim=1).all():
        return {}
    return {"length_correlation": torch.corrcoef(pairs)[0, 1].item()}
