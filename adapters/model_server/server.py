"""Starting the model server: load the model, then serve until told to stop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from loguru import logger

if TYPE_CHECKING:
    from fastapi import FastAPI

# Read by the libraries when they are first imported, which is why that happens inside `build`.
PROCESS_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # Threads that spin while they wait for each other starve once other processes need the cores: beside two busy
    # ones on two cores, a step of 16 rows took 2.2 s; with this 0.45 s.
    "OMP_WAIT_POLICY": "PASSIVE",
}


IDLE_SECONDS = 75
"""How long a connection without requests is kept: longer than clients keep theirs, so that none sends a request into
its end."""


def serve(
    *,
    host: str,
    port: int,
    base_dir: Path,
    base_name: str,
    adapters_dir: Path,
    api_key: str,
    threads: int | None = None,
) -> None:
    """Serve the model of `base_dir` as `base_name`, and of the adapters in `adapters_dir` those that it is told to.

    Blocks until SIGINT or SIGTERM. `threads` limits the cores that the model uses; by default it takes all.
    """
    app = build(base_dir, base_name, adapters_dir, api_key, threads)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=5,
    )


def build(base_dir: Path, base_name: str, adapters_dir: Path, api_key: str, threads: int | None = None) -> FastAPI:
    """The application with its model loaded, not yet started. Raises FileNotFoundError, saying what to make."""
    if not (base_dir / "config.json").is_file():
        raise FileNotFoundError(f"{base_dir} holds no model; `caravan up` prepares the embedded one")
    if not api_key:
        raise ValueError("the model server needs a key; it answers nobody without one")
    os.environ.update(PROCESS_ENVIRONMENT)
    import torch

    from adapters.model_server.adapter_folder import AdapterFolder
    from adapters.model_server.app import create_app
    from adapters.model_server.engine import Engine
    from adapters.model_server.model import ServedModel
    from adapters.model_server.served_adapters import ServedAdapters

    if threads:
        torch.set_num_threads(threads)
    model = ServedModel(base_dir, base_name)
    adapters = ServedAdapters(AdapterFolder(adapters_dir, base_name, model.layers, model.sha256), base_name)
    engine = Engine(model, still_served=lambda: {adapter.key for adapter in adapters.adapters()})
    logger.info("serving {} ({}); adapters of {} when told", base_name, model.fingerprint, adapters_dir)
    return create_app(model, adapters, engine, api_key)
