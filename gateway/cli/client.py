"""The command line's way to the API: a token, a key for every command, and errors that people can read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx

from gateway.settings import Settings

RETRY_SECONDS = 20.0
"""How long to go on asking a gateway that is being restarted, or that works on an earlier try."""
PAUSE_SECONDS = 1.0
"""As the gateway's Retry-After says."""
IN_FLIGHT = "urn:caravan:problem:in-flight"

SILENCE_SECONDS = 45.0
"""How long a stream may say nothing: three of the gateway's heartbeats."""

Json = dict[str, Any]


class ApiError(Exception):
    """The gateway refused, or could not be reached. The text is for the person at the terminal."""


class Unavailable(ApiError):
    """Nobody answers, or not now: the same may go well later."""


class Api:
    """One gateway, one token. Every command carries an Idempotency-Key, so that repeating it is harmless."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )
        self._url = url

    def get(self, path: str, **query: object) -> Json:
        """The answer's JSON. `query` values that are None are left out. Raises ApiError."""
        return cast(Json, self.send("GET", path, params=_given(query)).json())

    def post(self, path: str, body: object = None) -> Json:
        """Sends a command once, however often it must be repeated. Raises ApiError."""
        return self.command("POST", path, json=body)

    def put(self, path: str, content: bytes, headers: Mapping[str, str], **query: object) -> Json:
        """Replaces what is there, once, however often it must be repeated. Raises ApiError."""
        return self.command("PUT", path, params=_given(query), content=content, headers=headers)

    def delete(self, path: str, **query: object) -> Json:
        """Raises ApiError."""
        return self.command("DELETE", path, params=_given(query))

    def command(self, method: str, path: str, headers: Mapping[str, str] = {}, **request: Any) -> Json:
        """Any command, under a key of its own. Raises ApiError."""
        return cast(Json, self.send(method, path, headers={**headers, **_key()}, **request).json())

    def pages(self, path: str, **query: object) -> Iterator[Json]:
        """Every item of a list, page by page."""
        for page in self.whole_pages(path, **query):
            yield from page["items"]

    def whole_pages(self, path: str, **query: object) -> Iterator[Json]:
        """The pages of a list, with what they say beside their items."""
        cursor: str | None = None
        while True:
            page = self.get(path, cursor=cursor, **query)
            yield page
            cursor = page["next"]
            if cursor is None:
                return

    @contextmanager
    def stream(self, path: str, **query: object) -> Iterator[httpx.Response]:
        """Server-sent events, as they come. Raises ApiError where they are refused, and httpx.TransportError when they
        break off, or fall silent."""
        headers = {"Accept": "text/event-stream"}
        patience = httpx.Timeout(60, read=SILENCE_SECONDS)
        with self._http.stream("GET", path, params=_given(query), headers=headers, timeout=patience) as response:
            if not response.is_success:
                response.read()
            yield _checked(response)

    def download(self, path: str, file: Path, **query: object) -> None:
        """Writes what is there to that file, all of it or nothing; as it comes to what is none, such as /dev/stdout.
        Raises ApiError, and OSError where it cannot."""
        plain = file.is_file() or not file.exists()
        file = file.resolve() if plain else file
        half = file.with_name(f".{file.name}.{uuid4().hex}") if plain else file

        def written() -> httpx.Response:
            with self._http.stream("GET", path, params=_given(query)) as response:
                if response.is_success:
                    with half.open("wb") as opened:
                        opened.writelines(response.iter_bytes())
                else:
                    response.read()
                return response

        try:
            self._insistently(written)
            if plain:
                half.replace(file)
        finally:
            if plain:
                half.unlink(missing_ok=True)

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Goes on through a gateway's restart. Raises ApiError with the problem's own words."""
        return self._insistently(lambda: self._http.request(method, path, **request))

    def _insistently(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                response = ask()
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"no gateway answers at {self._url}; start one with `caravan up`") from error
            else:
                if not _asks_to_come_again(response) or time.monotonic() > deadline:
                    return _checked(response)
            time.sleep(PAUSE_SECONDS)


def open_api(settings: Settings) -> Api:
    """With the token of CARAVAN_TOKEN, else the one that `caravan login` kept. Raises ApiError without any."""
    token = settings.token or _kept_token(settings.home)
    if token is None:
        raise ApiError("no token: set CARAVAN_TOKEN, or run `caravan login` once (the first `caravan up` shows one)")
    return Api(settings.api_url, token)


def credentials_file(home: Path) -> Path:
    """Where `caravan login` keeps the token, for its owner alone."""
    return home / "credentials"


def _kept_token(home: Path) -> str | None:
    file = credentials_file(home)
    return file.read_text().strip() if file.exists() else None


def _asks_to_come_again(response: httpx.Response) -> bool:
    """The database is away, or an earlier try of ours is still being worked on."""
    match response.status_code:
        case httpx.codes.SERVICE_UNAVAILABLE:
            return True
        case httpx.codes.CONFLICT:
            return bool(response.json()["type"] == IN_FLIGHT)
        case _:
            return False


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        problem = response.json()
        text = problem.get("detail") or problem["title"]
    except (ValueError, KeyError):
        text = response.text[:500]
    if response.status_code == httpx.codes.UNAUTHORIZED:
        text = "the gateway takes no such token: run `caravan login` with another, or set CARAVAN_TOKEN"
    kind = Unavailable if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else ApiError
    raise kind(f"{text} (HTTP {response.status_code})")


def _given(query: Json) -> Json:
    return {name: value for name, value in query.items() if value is not None}


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}
