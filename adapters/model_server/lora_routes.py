"""vLLM's routes for loading and unloading LoRA adapters, with two fields more: the hash that the weights must have, and
how they must act."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from loguru import logger
from pydantic import BaseModel, Field

from adapters.model_server.served_adapters import ServedAdapters
from domain.lora_weights import LoraForm

Name = Annotated[str, Field(min_length=1, max_length=100)]


class LoadRequest(BaseModel):
    """POST /v1/load_lora_adapter. `load_inplace`: in place of one that is served under that name."""

    lora_name: Name
    lora_path: Annotated[str, Field(min_length=1, max_length=4_096)]
    load_inplace: bool = False
    sha256: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$")] = None
    form: LoraForm | None = None


class UnloadRequest(BaseModel):
    """POST /v1/unload_lora_adapter."""

    lora_name: Name


def lora_routes(adapters: ServedAdapters) -> APIRouter:
    """The two routes."""
    router = APIRouter(default_response_class=PlainTextResponse)

    @router.post("/v1/load_lora_adapter")
    async def load(body: LoadRequest) -> str:
        adapter = await asyncio.to_thread(
            adapters.load, body.lora_name, body.lora_path, body.sha256, body.form, body.load_inplace
        )
        logger.info("adapter {} ({}) is served", adapter.name, adapter.fingerprint)
        return f"Success: LoRA adapter '{body.lora_name}' added successfully."

    @router.post("/v1/unload_lora_adapter")
    async def unload(body: UnloadRequest) -> str:
        await asyncio.to_thread(adapters.unload, body.lora_name)
        logger.info("adapter {} is served no more", body.lora_name)
        return f"Success: LoRA adapter '{body.lora_name}' removed successfully."

    return router
