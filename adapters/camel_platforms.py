"""The platforms that agents.yaml may name: Caravan's own, one for every endpoint that speaks OpenAI's protocol, and
those of CAMEL whose endpoint is somebody else's, and known."""

from __future__ import annotations

from collections.abc import Mapping

EMBEDDED = "embedded"
"""The platform that stands for this Caravan's own model server; its URL and key come from the process's settings."""
OPENAI_COMPATIBLE = "openai-compatible-model"
"""CAMEL's name for any endpoint that speaks OpenAI's protocol."""
SERVES_ADAPTERS = (EMBEDDED, OPENAI_COMPATIBLE)
"""Where an adapter can be asked for under its own name, and a given answer be scored."""

OF_THIS_MACHINE: Mapping[str, str] = {
    "function-gemma": "http://127.0.0.1:11434/v1",
    "litellm": "http://127.0.0.1:4000/v1",
    "lmstudio": "http://127.0.0.1:1234/v1",
    "ollama": "http://127.0.0.1:11434/v1",
    "sglang": "http://127.0.0.1:30000/v1",
    "vllm": "http://127.0.0.1:8000/v1",
}
"""For these CAMEL starts a program in the worker, with the model's name on its command line, or asks a port of this
machine, whatever hosts are listed; LiteLLM, what the name calls for. With where each serves OpenAI's protocol."""


def advice_on_platform(platform: str) -> str | None:
    """What to write instead; None where that platform is allowed."""
    if url := OF_THIS_MACHINE.get(platform):
        return (
            f"no model server is started or looked for on the worker's machine; write platform: {OPENAI_COMPATIBLE}, "
            f"and where {platform} serves the model, e.g. url: {url}"
        )
    # Imported late: CAMEL takes a second to import, and whoever only reads the roster of others does not need it.
    from camel.types import ModelPlatformType

    known = {EMBEDDED, *(member.value for member in ModelPlatformType)} - OF_THIS_MACHINE.keys()
    return None if platform in known else f"there is no platform {platform!r}; write one of {', '.join(sorted(known))}"
