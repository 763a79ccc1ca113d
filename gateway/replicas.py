"""Model servers and the registry, kept in step, wired: one worker does it at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime

from adapters.endpoint_keys import endpoint_keys
from adapters.leadership import Leadership
from adapters.replicas.embedded import EmbeddedReplica
from adapters.replicas.local_files import LocalFiles
from adapters.replicas.lora_api import LoraApi
from adapters.replicas.vllm import VllmReplica
from commands.policies.serve_adapters import ServeAdapters
from domain.catalogue import topics_of
from domain.lora_adapter import LoraAdapter
from domain.serving import Replica
from gateway.bootstrap import Core, known_secrets
from gateway.running import together
from gateway.settings import ReplicaSettings, Settings
from projections.lookups import ServableAdapters

LOCK = 0x73657276  # "serv"


async def serve_adapters(core: Core, stop: asyncio.Event) -> None:
    """Until `stop` is set."""
    settings = core.settings
    keys, hide = endpoint_keys(os.environ, settings.secrets_dir), known_secrets(settings).hide
    apis = [LoraApi(one.url, key_of(one, settings, keys), hide=hide) for one in settings.served_by]
    replicas = [_replica(one, api, settings) for one, api in zip(settings.served_by, apis, strict=True)]
    registered = ServableAdapters(core.engine, core.store)
    serving = ServeAdapters(registered, replicas, core.standings.tell, lambda: datetime.now(UTC))
    topics = frozenset(topics_of(LoraAdapter))

    def heard(topic: str) -> None:
        if topic in topics:
            serving.wake()

    try:
        await together(
            core.bell.listen(stop, heard),
            Leadership(str(settings.database_url), LOCK, "serving").lead(stop, lambda: serving.run(stop)),
        )
    finally:
        for api in apis:
            await api.close()


def key_of(replica: ReplicaSettings, settings: Settings, keys: Mapping[str, str]) -> str | None:
    """The key that its settings name. Our own server's is the settings', where they name none."""
    if replica.key_env:
        return keys.get(replica.key_env)
    return settings.model_key if replica.kind == "embedded" else None


def _replica(replica: ReplicaSettings, api: LoraApi, settings: Settings) -> Replica:
    base = replica.base or settings.base_model
    if replica.kind == "embedded":
        return EmbeddedReplica(api, base)
    files = LocalFiles(settings.lora_adapters, settings.base_model_dir.with_name(base), base)
    return VllmReplica(api, base, str(replica.root), files.check)
