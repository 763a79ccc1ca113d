"""The memory of rows that are decoded together: their key/value cache and mask, left-padded to one length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache


@dataclass
class Lanes:
    """`cache` and `mask` [rows, length]; the mask is 1 where the cache holds a token, 0 for padding on the left."""

    cache: DynamicCache
    mask: Tensor

    @property
    def length(self) -> int:
        """Of the longest row, padding included."""
        return self.mask.shape[1]

    def extend(self) -> None:
        """Make room in the mask for one more token of every row, before the model writes it into the cache."""
        self.mask = pad(self.mask, (0, 1), value=1)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows, and the padding that then none of them needs."""
        chosen = torch.tensor(rows)
        self.cache.batch_select_indices(chosen)
        self.mask = self.mask[chosen]
        useless = int(self.mask.argmax(dim=1).min())
        self.mask = self.mask[:, useless:]
        for layer in _layers(self.cache):
            layer.keys, layer.values = layer.keys[:, :, useless:], layer.values[:, :, useless:]

    def join(self, newcomers: Lanes) -> None:
        """Append the newcomers' rows after these."""
        length = max(self.length, newcomers.length)
        self.mask = torch.cat([_left_padded(lanes.mask, 1, length) for lanes in (self, newcomers)])
        for mine, theirs in zip(_layers(self.cache), _layers(newcomers.cache), strict=True):
            mine.keys = torch.cat([_left_padded(keys, 2, length) for keys in (mine.keys, theirs.keys)])
            mine.values = torch.cat([_left_padded(values, 2, length) for values in (mine.values, theirs.values)])


def _layers(cache: DynamicCache) -> list[Any]:
    """Each with `keys` and `values` of shape [rows, heads, length, head size]; all are of the kind that grows."""
    return cache.layers


def _left_padded(tensor: Tensor, dim: int, length: int) -> Tensor:
    """The tensor with zeros before its content along `dim`, so that it is `length` long there."""
    missing = length - tensor.shape[dim]
    return pad(tensor, (0, 0) * (tensor.dim() - 1 - dim) + (missing, 0))
