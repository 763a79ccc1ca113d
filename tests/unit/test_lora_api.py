"""What a model server's API says of itself and of its key: nothing that must not be shown, and all that can be told."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from adapters.known_secrets import KnownSecrets
from adapters.replicas.lora_api import LoraApi
from domain.serving import NotLoaded, ReplicaAway
from domain.text import is_storable


@pytest.mark.parametrize("key", ["sk-secret ", "sk-se\x01cret", "sk-secret\n", "sk-sécret"])
async def test_a_key_that_no_header_takes_is_never_shown(key: str) -> None:
    api = LoraApi("http://127.0.0.1:9/v1", key)
    with pytest.raises(ReplicaAway, match="mend what `key_env` names") as away:
        await api.models()
    assert key.strip() not in str(away.value)
    await api.close()


def as_an_answer(asked: httpx.Request) -> httpx.Response:
    return httpx.Response(500, text=f"no: {asked.headers['authorization']}")


def as_no_http_at_all(asked: httpx.Request) -> httpx.Response:
    raise httpx.RemoteProtocolError(f"illegal status line: {asked.headers['authorization']}")


@pytest.mark.parametrize("repeated", [as_an_answer, as_no_http_at_all])
async def test_a_key_that_a_server_repeats_is_not_told(repeated: Callable[[httpx.Request], httpx.Response]) -> None:
    key = "internal-Zx81"
    api = LoraApi("http://gpu1/v1", key, httpx.MockTransport(repeated), KnownSecrets([key]).hide)
    with pytest.raises(ReplicaAway, match=r"Bearer \*\*\*"):
        await api.models()
    await api.close()


@pytest.mark.parametrize("body", [rb'{"message": "\ud800"}', rb'{"error": {"message": "\u0000"}}', b"\x00"])
async def test_whatever_a_server_says_can_be_told(body: bytes) -> None:
    says = httpx.MockTransport(lambda _: httpx.Response(400, content=body))
    api = LoraApi("http://gpu1/v1", None, says)
    with pytest.raises(NotLoaded, match="does not load team@1: \u241b") as refusal:
        await api.load({"lora_name": "team@1"})
    assert is_storable(str(refusal.value))
    await api.close()
