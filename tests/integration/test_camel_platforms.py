"""Which models an agent is made for, by CAMEL's platforms, the hosts that are listed and the keys that there are."""

from __future__ import annotations

import inspect
import re
import subprocess
from dataclasses import replace

import pytest
from camel.models import ModelFactory

from adapters.camel_agents import CamelAgents
from adapters.camel_platforms import OF_THIS_MACHINE
from domain.model_hosts import ModelHosts
from domain.ports.agents import ModelUnavailable
from domain.roster import ModelSpec
from tests.integration.scripted_endpoint import ScriptedEndpoint
from tests.scripted_agents import a_spec

SPEC = a_spec("anna")


async def test_a_key_that_is_not_set_is_named() -> None:
    elsewhere = ModelSpec("openai-compatible-model", "m", "http://127.0.0.1:9/v1", "NO_SUCH_KEY")
    with pytest.raises(ModelUnavailable, match="export NO_SUCH_KEY"):
        CamelAgents("http://x/v1", "key", None, secrets={}).create(replace(SPEC, model=elsewhere), None, None)


async def test_an_old_revision_does_not_reach_a_host_that_is_not_listed_any_more() -> None:
    elsewhere = ModelSpec("openai-compatible-model", "m", "http://127.0.0.1:9/v1")
    factory = CamelAgents("http://x/v1", "key", None, secrets={}, hosts=ModelHosts("models.example"))
    with pytest.raises(ModelUnavailable, match="at no host that CARAVAN_MODEL_HOSTS lists"):
        factory.create(replace(SPEC, model=elsewhere), None, None)


@pytest.mark.parametrize("platform", OF_THIS_MACHINE)
async def test_an_old_revision_starts_no_server_and_asks_no_port_that_nobody_listed(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command))
    factory = CamelAgents("http://x/v1", "key", None, secrets={}, hosts=ModelHosts("models.example"))
    with pytest.raises(ModelUnavailable, match=f"write platform: openai-compatible-model, and where {platform} serves"):
        factory.create(replace(SPEC, model=ModelSpec(platform, "org/m --trust-remote-code")), None, None)
    assert started == []


def test_every_platform_of_camel_that_knows_this_machine_is_known() -> None:
    this_machine = re.compile(r"\bsubprocess\b|\bPopen\b|localhost|127\.0\.0\.1|0\.0\.0\.0")
    backends = ModelFactory._MODEL_PLATFORM_TO_CLASS_MAP
    sources = {platform.value: inspect.getsource(inspect.getmodule(kind)) for platform, kind in backends.items()}
    found = {platform for platform, source in sources.items() if this_machine.search(source)}
    assert found | {"litellm"} == OF_THIS_MACHINE.keys()  # LiteLLM is a library of its own


@pytest.mark.parametrize("platform", ["openai", "openai-compatible-model"])
async def test_a_url_is_never_sent_the_key_that_the_environment_holds(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a secret")
    monkeypatch.setenv("OPENAI_COMPATIBILITY_API_KEY", "a secret")
    with ScriptedEndpoint("Hi").up() as endpoint:
        spec = replace(SPEC, model=ModelSpec(platform, "gpt-4o-mini", endpoint.url), ballot="verdict")
        await CamelAgents("http://x/v1", "key", None, secrets={}).create(spec, None, None).answer("Why?")
    assert endpoint.keys == ["Bearer none"]
