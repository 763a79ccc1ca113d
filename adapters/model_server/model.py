"""The model in memory: the base, and the LoRA adapters that are loaded beside it, row by row in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from loguru import logger
from peft import PeftModel, get_peft_model, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedTokenizerFast

from adapters.artifacts import sha256_of
from adapters.model_server.adapter_check import FINGERPRINT, Adapter, LayerShapes

WEIGHTS_FILE = "model.safetensors"
BASE_ROW = "__base__"  # PEFT's word, among adapter_names, for a row without an adapter
OUTPUT_LAYER = "lm_head"


class ServedModel:
    """A causal language model in fp32, in which a greedy answer is the same alone and in a batch.

    Not thread-safe: after construction only the engine's thread may call its methods.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        self._base: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
        self._base.eval()  # type: ignore[no-untyped-call]
        self._with_adapters: PeftModel | None = None
        self.sha256 = sha256_of(folder / WEIGHTS_FILE)
        self.fingerprint = self.sha256[:FINGERPRINT]
        self.context_length: int = self._base.config.max_position_embeddings
        self.vocabulary: int = self._base.config.vocab_size
        self.end_tokens = _end_tokens(self._base.generation_config.eos_token_id, self.tokenizer.eos_token_id)
        self.layers = linear_layers(self._base)

    @property
    def loaded(self) -> set[str]:
        """The keys of the adapters in memory."""
        return set(self._with_adapters.peft_config) if self._with_adapters else set()

    def load(self, adapter: Adapter) -> None:
        """Make rows of this adapter possible. Raises AdapterRefused when its files changed since the check."""
        if adapter.key in self.loaded:
            return
        tensors = adapter.tensors()
        config = adapter.settings.peft_config()
        if self._with_adapters is None:
            self._with_adapters = get_peft_model(self._base, config, adapter_name=adapter.key)
        else:
            self._with_adapters.add_adapter(adapter.key, config)
        try:
            set_peft_model_state_dict(self._with_adapters, tensors, adapter_name=adapter.key)
        except BaseException:
            self.unload(adapter.key)  # or the next row of it would be answered by an adapter without weights
            raise
        self._with_adapters.eval()
        logger.info("adapter {} ({}) loaded", adapter.name, adapter.fingerprint)

    def unload(self, key: str) -> None:
        """Free an adapter's memory. No row may be using it."""
        if self._with_adapters is None or key not in self.loaded:
            return
        if len(self.loaded) == 1:  # PEFT cannot run a model whose last adapter was deleted
            self._base = self._with_adapters.unload()
            self._with_adapters = None
        else:
            self._with_adapters.delete_adapter(key)
        logger.info("adapter with key {} unloaded", key)

    @torch.inference_mode()
    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        adapters: Sequence[Adapter | None],
        last: int,
        cache: DynamicCache | None = None,
    ) -> Tensor:
        """Logits of each row's `last` positions, shape [rows, last, vocabulary].

        `tokens` [rows, new] follow what the `cache` holds and extend it; `mask` [rows, cached + new] is 1 where there
        is a token, 0 where there is padding on the left. `adapters` names each row's adapter, None for the base.
        """
        arguments: dict[str, Any] = {}
        if self._with_adapters is not None:
            arguments["adapter_names"] = [adapter.key if adapter else BASE_ROW for adapter in adapters]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        output = (self._with_adapters or self._base)(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=last,
            **arguments,
        )
        logits: Tensor = output.logits
        return logits

    def new_cache(self) -> DynamicCache:
        """An empty key/value cache."""
        return DynamicCache(config=self._base.config)


def left_padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Rows of token ids as one tensor, padded on the left, and its mask; both [rows, longest]."""
    longest = max(map(len, rows))
    tokens = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return tokens, mask


def linear_layers(base: nn.Module) -> LayerShapes:
    """The layers of a model that adapters may change: all linear ones but the output."""
    return {
        name: (module.out_features, module.in_features)
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear) and name != OUTPUT_LAYER
    }


def _end_tokens(*sources: int | list[int] | None) -> frozenset[int]:
    return frozenset(
        token
        for source in sources
        if source is not None
        for token in (source if isinstance(source, list) else [source])
    )
