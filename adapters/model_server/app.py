"""The HTTP side: OpenAI's routes, one for scores, those that load and unload adapters, and health."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.telemetry import TelemetryConfig
from loguru import logger
from openai.types.chat import ChatCompletionChunk
from sse_starlette import EventSourceResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.model_server.engine import Engine
from adapters.model_server.errors import ApiError, BadRequest, Unauthorized
from adapters.model_server.jobs import ChatJob, Completion, Score
from adapters.model_server.lora_routes import lora_routes
from adapters.model_server.model import ServedModel
from adapters.model_server.responses import Reply, adapter_entry, base_entry
from adapters.model_server.schemas import ChatRequest, ScoreRequest, ScoreResponse, Usage
from adapters.model_server.served_adapters import ServedAdapters
from adapters.model_server.translation import Translator, calls_a_tool

OPEN_PATH = "/health/live"
DISCONNECT_POLL_SECONDS = 0.5
TELEMETRY: TelemetryConfig = {
    "tracing": True,
    "operation_spans": False,
    "metrics": False,
    "logs": False,
    "exclude": lambda scope: scope["path"] == OPEN_PATH,
}
"""A request goes on with the trace of whoever asks."""


class RequireKey:
    """Refuses whatever comes without the bearer token, before anything of it is read; the liveness probe passes."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"] != OPEN_PATH:
            given = Headers(scope=scope).get("authorization", "").encode()
            if not secrets.compare_digest(given, self._expected):
                refusal = Unauthorized("send the model server's key as `Authorization: Bearer KEY`")
                await _error_response(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def create_app(model: ServedModel, adapters: ServedAdapters, engine: Engine, api_key: str) -> FastAPI:
    """The application; it starts and stops the engine."""
    translator = Translator(model, adapters)
    started = int(time.time())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        await asyncio.to_thread(engine.stop)

    app = FastAPI(title="Caravan's model server", lifespan=lifespan, docs_url=None, redoc_url=None, telemetry=TELEMETRY)
    app.add_middleware(RequireKey, api_key=api_key)
    _speak_openai_errors(app)
    app.include_router(lora_routes(adapters))

    def status() -> str:
        return "ok" if engine.alive else "failed"

    @app.get(OPEN_PATH)
    async def live() -> JSONResponse:
        return JSONResponse({"status": status()}, status_code=200 if engine.alive else 503)

    @app.get("/health")
    async def health() -> JSONResponse:
        load = engine.load
        served = await asyncio.to_thread(adapters.adapters)
        detail = {
            "status": status(),
            "model": model.name,
            "system_fingerprint": model.fingerprint,
            "adapters": [adapter.name for adapter in served],
            "running": load.running,
            "waiting": load.waiting,
        }
        return JSONResponse(detail, status_code=200 if engine.alive else 503)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        served = await asyncio.to_thread(adapters.adapters)
        entries = [base_entry(model, started), *(adapter_entry(adapter, model, started) for adapter in served)]
        return {"object": "list", "data": [entry.model_dump() for entry in entries]}

    @app.get("/v1/models/{name}")
    async def one_model(name: str) -> dict[str, Any]:
        if name == model.name:
            return base_entry(model, started).model_dump()
        adapter = await asyncio.to_thread(adapters.find, name)
        return adapter_entry(adapter, model, started).model_dump()

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        await _note(request)
        job = await asyncio.to_thread(translator.chat, body)
        fingerprint = job.adapter.fingerprint if job.adapter else model.fingerprint
        reply = Reply(body.model, fingerprint, len(job.prompt), calls_a_tool(body))
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            pieces = _submitted(engine, job)
            return EventSourceResponse(_stream(reply, job, pieces, with_usage), sep="\n")
        engine.submit(job)
        completion: Completion | None = await _unless_gone(request, job.result)
        if completion is None:
            return _client_gone()
        return JSONResponse(reply.whole(completion).model_dump(exclude_unset=True))

    @app.post("/v1/score")
    async def score(body: ScoreRequest, request: Request) -> Response:
        await _note(request)
        job = await asyncio.to_thread(translator.score, body)
        engine.submit(job)
        scored: Score | None = await _unless_gone(request, job.result)
        if scored is None:
            return _client_gone()
        answered = scored.tokens
        read = len(job.prompt) + len(job.answer) - answered
        response = ScoreResponse(
            model=body.model,
            system_fingerprint=job.adapter.fingerprint if job.adapter else model.fingerprint,
            mean_logprob=scored.mean_logprob,
            tokens=answered,
            usage=Usage(prompt_tokens=read, completion_tokens=answered, total_tokens=read + answered),
        )
        return JSONResponse(response.model_dump())

    return app


async def _note(request: Request) -> None:
    """One line a request in the log. It names what was asked by its hash alone: a repeat is seen, the words are not."""
    digest = sha256(await request.body()).hexdigest()
    logger.bind(path=request.url.path, request_sha256=digest).info("asked")


async def _unless_gone(request: Request, result: Future[Any]) -> Any | None:
    """The result, or None when the client disconnected meanwhile, in which case the job is cancelled."""
    waiting = asyncio.wrap_future(result)
    try:
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=DISCONNECT_POLL_SECONDS)
            if not waiting.done() and await request.is_disconnected():
                return None
        return waiting.result()
    finally:
        result.cancel()


def _submitted(engine: Engine, job: ChatJob) -> asyncio.Queue[str | None]:
    """Submit the job; its text arrives in the queue piece by piece, and None when it has ended."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[str | None] = asyncio.Queue()
    job.on_text = lambda text: _from_engine(loop, pieces, text)
    job.result.add_done_callback(lambda _result: _from_engine(loop, pieces, None))
    engine.submit(job)
    return pieces


def _from_engine(loop: asyncio.AbstractEventLoop, pieces: asyncio.Queue[str | None], piece: str | None) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(pieces.put_nowait, piece)


async def _stream(
    reply: Reply, job: ChatJob, pieces: asyncio.Queue[str | None], with_usage: bool
) -> AsyncIterator[dict[str, str]]:
    try:
        yield _data(reply.opening())
        while (piece := await pieces.get()) is not None:
            if not reply.calls_a_tool:
                yield _data(reply.piece(piece))
        error = job.result.exception()
        if error is not None:
            yield {"data": json.dumps(_as_api_error(error).body())}
            return
        completion: Completion = job.result.result()
        if reply.calls_a_tool and completion.finish_reason != "stop":
            yield _data(reply.piece(completion.text))
        yield _data(reply.closing(completion))
        if with_usage:
            yield _data(reply.usage(completion))
        yield {"data": "[DONE]"}
    finally:
        job.result.cancel()


def _data(chunk: ChatCompletionChunk) -> dict[str, str]:
    return {"data": chunk.model_dump_json(exclude_unset=True)}


def _client_gone() -> Response:
    return Response(status_code=499)  # nobody reads it; the access log does


def _speak_openai_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def refused(_request: Request, error: ApiError) -> JSONResponse:
        return _error_response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return _error_response(BadRequest(f"{place or 'body'}: {first['msg']}", place or None))

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: HTTPException) -> JSONResponse:
        refusal = BadRequest(f"{request.method} {request.url.path}: {error.detail}")
        return JSONResponse(refusal.body(), status_code=error.status_code)

    @app.exception_handler(Exception)
    async def failed(_request: Request, error: Exception) -> JSONResponse:
        return _error_response(_as_api_error(error))


def _as_api_error(error: BaseException) -> ApiError:
    if isinstance(error, ApiError):
        return error
    logger.error("a request failed: {!r}", error)
    return ApiError(f"the model server failed ({type(error).__name__}); its log says more")


def _error_response(error: ApiError) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else None
    return JSONResponse(error.body(), status_code=error.status, headers=headers)
