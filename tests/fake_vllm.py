"""vLLM's doors as far as LoRA adapters go, without a model behind them.

The requests are those of https://docs.vllm.ai/en/v0.10.0/features/lora.html, "Dynamically serving LoRA Adapters", and
"LoRA model lineage in model card" for the listing. Answers, error bodies and status codes are those of vLLM's
vllm/entrypoints/openai/models/serving.py and serve/lora/api_router.py, commit 00153c8b; `flat_errors` are
those of releases before errors were nested. Stricter than vLLM, which ignores fields that it does not know, it refuses
them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict


class LoadRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    lora_name: str
    lora_path: str
    load_inplace: bool = False


class UnloadRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    lora_name: str
    lora_int_id: int | None = None


@dataclass
class FakeVllm:
    """`files`: the folders that it finds. `breaks`: names at which its engine fails. `updating`: the environment
    variable VLLM_ALLOW_RUNTIME_LORA_UPDATING; without it the two routes are not there."""

    base: str
    files: Collection[str] = ()
    key: str | None = None
    updating: bool = True
    flat_errors: bool = False
    breaks: dict[str, str] = field(default_factory=dict)
    loaded: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)

    def restart(self) -> None:
        """What was loaded at run time is gone."""
        self.loaded.clear()

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def authenticate(request: Request, call_next: Any) -> Response:
            if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
                return JSONResponse({"error": "Unauthorized"}, status_code=401)
            answer: Response = await call_next(request)
            return answer

        @app.get("/v1/models")
        async def models() -> dict[str, Any]:
            cards = [self._card(self.base, f"org/{self.base}", None)]
            cards += [self._card(name, path, self.base) for name, path in self.loaded.items()]
            return {"object": "list", "data": cards}

        if not self.updating:
            return app

        @app.post("/v1/load_lora_adapter")
        async def load(body: LoadRequest) -> Response:
            self.requests.append(("load", body.model_dump(exclude_unset=True)))
            name, path = body.lora_name, body.lora_path
            if not name or not path:
                return self._error("Both 'lora_name' and 'lora_path' must be provided.", "InvalidUserInput", 400)
            if name in self.loaded and not body.load_inplace:
                return self._error(
                    f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
                    "set 'load_inplace' to True.",
                    "InvalidUserInput",
                    400,
                )
            if path not in self.files:
                message = f"Loading lora {name} failed: No adapter found for {path}"
                return self._error(message, "NotFoundError", 404)
            if name in self.breaks:
                return self._error(self.breaks[name], "InternalServerError", 500)
            self.loaded[name] = path
            return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

        @app.post("/v1/unload_lora_adapter")
        async def unload(body: UnloadRequest) -> Response:
            self.requests.append(("unload", body.model_dump(exclude_unset=True)))
            if body.lora_name not in self.loaded:
                return self._error(f"The lora adapter '{body.lora_name}' cannot be found.", "NotFoundError", 404)
            del self.loaded[body.lora_name]
            return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")

        return app

    def _card(self, id: str, root: str, parent: str | None) -> dict[str, Any]:
        permission = [{"id": "modelperm-1", "object": "model_permission", "allow_sampling": True}]
        card = {"id": id, "object": "model", "created": 1715644056, "owned_by": "vllm"}
        return card | {"root": root, "parent": parent, "max_model_len": 2048, "permission": permission}

    def _error(self, message: str, type: str, code: int) -> Response:
        error = {"message": message, "type": type, "param": None, "code": code}
        body = {"object": "error", **error} if self.flat_errors else {"error": error}
        return JSONResponse(body, status_code=code)
