"""The HTTP API by which vLLM, and our own server, say what they serve, and load and unload LoRA adapters.

Of vLLM it is documented at https://docs.vllm.ai/en/v0.10.0/features/lora.html, "Dynamically serving LoRA Adapters";
answers and errors are in its vllm/entrypoints/openai/models/serving.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from adapters.endpoint_keys import fits_header
from adapters.known_secrets import Hide
from domain.lora_weights import LoraForm
from domain.serving import NotLoaded, ReplicaAway
from domain.text import escape

LOOK_SECONDS = 5.0
LOAD_SECONDS = 120.0
"""A server reads and checks the weights before it answers."""
TEXT_SHOWN = 500


class ModelCard(BaseModel):
    """One line of GET /v1/models. `parent`: None for a base model. `root`: an adapter's folder. `sha256`: of its
    weights, and `form`: how they act, which our own server says."""

    id: str
    parent: str | None = None
    root: str | None = None
    sha256: str | None = None
    form: LoraForm | None = None


class ModelList(BaseModel):
    """GET /v1/models."""

    data: list[ModelCard]


class LoraApi:
    """One server's, at `url`, which ends with /v1; what it says is told as `hide` leaves it. `close` it when done."""

    def __init__(
        self, url: str, key: str | None, transport: httpx.AsyncBaseTransport | None = None, hide: Hide = str
    ) -> None:
        self.url = url.rstrip("/")
        self._hide = hide
        self._unfit = bool(key and not fits_header(key))
        headers = {"Authorization": f"Bearer {key}"} if key and not self._unfit else {}
        self._http = httpx.AsyncClient(headers=headers, timeout=LOOK_SECONDS, trust_env=False, transport=transport)

    async def models(self) -> list[ModelCard]:
        """Base models and adapters. Raises ReplicaAway."""
        response = await self._request("GET", "/models")
        try:
            return ModelList.model_validate_json(response.raise_for_status().content).data
        except httpx.HTTPStatusError as error:
            raise ReplicaAway(f"GET {self.url}/models: {response.status_code} {self._said(response)}") from error
        except ValidationError as error:
            raise ReplicaAway(f"{self.url}/models does not list models as OpenAI's API does") from error

    async def load(self, body: Mapping[str, Any]) -> None:
        """Raises NotLoaded and ReplicaAway."""
        response = await self._request("POST", "/load_lora_adapter", body)
        if not response.is_success:
            raise NotLoaded(self._refusal(response, body["lora_name"], "load"))

    async def unload(self, name: str) -> None:
        """One that is not there is no error. Raises NotLoaded and ReplicaAway."""
        response = await self._request("POST", "/unload_lora_adapter", {"lora_name": name})
        if not response.is_success and not self._is_unknown(response, name):
            raise NotLoaded(self._refusal(response, name, "unload"))

    async def close(self) -> None:
        """Ends the connections."""
        await self._http.aclose()

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        if self._unfit:
            raise ReplicaAway(
                f"the key for {self.url} holds blanks or signs that no header takes; mend what `key_env` names, "
                "or CARAVAN_MODEL_KEY"
            )
        try:
            response = await self._http.request(
                method, f"{self.url}{path}", json=body, timeout=LOAD_SECONDS if body else LOOK_SECONDS
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = self._hide(f"{type(error).__name__} {error}")
            raise ReplicaAway(f"{self.url} does not answer: {said}; is it up?") from error
        if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ReplicaAway(f"{self.url} refuses our key; mend `key_env` of this replica, or what it names")
        return response

    def _refusal(self, response: httpx.Response, name: str, verb: str) -> str:
        said = self._said(response)
        if response.status_code == HTTPStatus.NOT_FOUND and said == HTTPStatus.NOT_FOUND.phrase:
            said = "it has no LoRA API: start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
        return f"{self.url} does not {verb} {name}: {said}"

    def _is_unknown(self, response: httpx.Response, name: str) -> bool:
        return response.status_code == HTTPStatus.NOT_FOUND and name in self._said(response)

    def _said(self, response: httpx.Response) -> str:
        return escape(self._hide(_words_in(response)))[:TEXT_SHOWN]


def _words_in(response: httpx.Response) -> str:
    """The server's own words, wherever it puts them: OpenAI's error object, vLLM's older flat one, or FastAPI's."""
    try:
        body = response.json()
    except ValueError:
        return response.text
    if isinstance(body, dict):
        error = body.get("error")
        said = error.get("message") if isinstance(error, dict) else body.get("message") or body.get("detail")
        if isinstance(said, str):
            return said
    return response.text
