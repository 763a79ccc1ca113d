"""A model server on a free port for the length of a `with`, and LoRA adapters for it made by PEFT."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

BASE_NAME = "tiny-llama"
API_KEY = "a key for tests"


@dataclass(frozen=True)
class RunningServer:
    url: str
    adapters: Path

    def load(self, name: str, **fields: object) -> httpx.Response:
        """Have it serve the adapter of that folder."""
        return self.post("load_lora_adapter", {"lora_name": name, "lora_path": name, **fields})

    def unload(self, name: str) -> httpx.Response:
        """And no more."""
        return self.post("unload_lora_adapter", {"lora_name": name})

    def post(self, route: str, body: dict[str, object]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        return httpx.post(f"{self.url}/v1/{route}", json=body, headers=headers, timeout=60)


@contextmanager
def serving(app: FastAPI, adapters: Path) -> Iterator[RunningServer]:
    """It serves all adapters that are there at its start."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    running = RunningServer(f"http://127.0.0.1:{port}", adapters)
    for config in sorted(adapters.glob("[!.]*/adapter_config.json")):
        running.load(config.parent.name).raise_for_status()
    yield running
    server.should_exit = True
    thread.join(timeout=20)


def wait_until_live(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/health/live").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{url} did not come up in {seconds} s")


def save_adapter(base: Path, folder: Path, seed: int, **settings: object) -> Path:
    """A LoRA adapter whose random weights change every answer; it appears at once, as the trainer's do."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(
        **{"r": 4, "lora_alpha": 64, "target_modules": ["q_proj", "v_proj", "down_proj"], **settings},
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    model.peft_config["default"].base_model_name_or_path = BASE_NAME
    beside = folder.with_name(f".{folder.name}")
    model.save_pretrained(beside, save_embedding_layers=False)
    shutil.rmtree(folder, ignore_errors=True)
    return beside.rename(folder)
