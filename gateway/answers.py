"""Where models' answers are kept for those who ask the same, wired."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from adapters import answer_cache
from adapters.answer_cache import AnswerCache
from adapters.artifacts import sha256_of
from adapters.camel_platforms import EMBEDDED
from adapters.kv import KeyValues
from adapters.locked_values import Cache
from gateway.bootstrap import Core
from projections import lora_adapters


def answers_of(core: Core, values: KeyValues) -> AnswerCache:
    """Those of this Caravan: only its own processes can read or write them."""
    settings = core.settings

    @cache
    def base() -> str:
        return " ".join(sha256_of(file) for file in sorted(settings.base_model_dir.glob("*.safetensors")))

    def weights(platform: str, adapter: str | None) -> Mapping[str, str] | None:
        known = {"base": base()} if platform == EMBEDDED else {}
        if "" in known.values():  # there are none here, and nobody knows what the model server has
            return None
        if adapter is None:
            return known
        with core.engine.connect() as db:
            registered = lora_adapters.weights(db)
        return known | {"adapter": registered[adapter]} if adapter in registered else None

    return AnswerCache(Cache(values, str(settings.model_key)), weights)


def open_answers(core: Core) -> KeyValues:
    """The bucket that they lie in. To be closed."""
    return KeyValues(str(core.settings.nats_url), answer_cache.BUCKET)
