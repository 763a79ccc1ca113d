"""The console's way to Caravan: its HTTP API, and errors in words that a person can act on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast
from urllib.parse import quote

import httpx
from httpx_sse import EventSource, SSEError

Json = dict[str, Any]

PAGE_LIMIT = 200
REMEMBER_SECONDS = 10.0
"""How long reads ask for what was just written. Longer, and a console of read models that stand still would too."""
IN_FLIGHT_SECONDS = 10.0
"""How long a command that is being worked on is asked for again."""
PAUSE_SECONDS = 1.0
"""As the gateway's Retry-After says."""
SILENCE_SECONDS = 30.0
"""A stream has heartbeats; one without is lost."""
FILE_SECONDS = 120.0
"""A file may have to be written first, or be large."""
YAML = "application/yaml"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with what was sent. `place`: a JSON pointer into the body (empty: all of it), or a parameter."""

    place: str
    detail: str


class ApiError(Exception):
    """The gateway refused. Its text is for the person at the screen; `status` is HTTP's."""

    def __init__(self, status: int, title: str, detail: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.faults = faults


class Unavailable(ApiError):
    """No gateway answers, or it waits for something that is being restarted. Trying again later helps."""


class InFlight(ApiError):
    """The same command was sent a moment ago and is being worked on. Sending it again will give its answer."""


class TokenRefused(ApiError):
    """The token is not valid, or not any more."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a command did: to which thing, and its version since."""

    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of a list. `next` is the cursor of those after them; None: these were the last."""

    items: list[Json]
    next: str | None

    @property
    def count(self) -> str:
        """How many there are, as far as this page tells: 3, or 200+."""
        return f"{len(self.items):,}{'+' if self.next else ''}"


class Api:
    """One gateway, one token.

    A place is the path below /v1, segment by segment: `api.one("workflows", run_id)`. Every method raises ApiError.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(15, connect=3), trust_env=False)
        self._written = (0, 0.0)
        self._schemas: Json = {}

    def me(self) -> Json:
        """Whom the token stands for: {subject, kind, role}."""
        return self._json("GET", "/v1/me")

    def health(self) -> Json:
        """Every part's state, also when one of them is down."""
        return cast(Json, self._send("GET", "/health", accepted=_tells_health).json())

    def serving(self) -> Json:
        """How model servers stand. No event tells it, so it knows of no position."""
        return self._json("GET", "/v1/serving")

    def defaults(self, schema: str) -> Json:
        """What the API takes for the fields of that schema that a request leaves out, as its OpenAPI document says."""
        if not self._schemas:
            self._schemas = self._json("GET", "/openapi.json")["components"]["schemas"]
        fields = self._schemas[schema]["properties"]
        return {name: field["default"] for name, field in fields.items() if "default" in field}

    def answers(self) -> bool:
        """Whether the gateway is there and ready."""
        try:
            return self._http.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    def one(self, *place: str, **query: object) -> Json:
        """What a single GET answers."""
        return self._json("GET", _path(place), params=_given(query | self._after()))

    def page(self, *place: str, limit: int = 50, **query: object) -> Page:
        """One page of a list."""
        answer = self.one(*place, limit=limit, **query)
        return Page(answer["items"], answer["next"])

    def all(self, *place: str, **query: object) -> list[Json]:
        """A list that the API gives whole, such as a run's ballots."""
        return cast("list[Json]", self.one(*place, **query)["items"])

    def every(self, *place: str, most: int = 1000, **query: object) -> list[Json]:
        """The items of all pages, up to `most`."""
        return [item for _, item in zip(range(most), self._walk(place, query), strict=False)]

    def text(self, *place: str, accept: str = "text/plain", **query: object) -> str:
        """What is no JSON: a log, a YAML file."""
        return self._send("GET", _path(place), params=_given(query), headers={"Accept": accept}).text

    def file(self, *place: str, **query: object) -> bytes:
        """A download."""
        patience = httpx.Timeout(FILE_SECONDS, connect=3)
        return self._send("GET", _path(place), params=_given(query), timeout=patience).content

    def send_file(self, content: bytes) -> str:
        """Sends a file to be imported. Returns its SHA-256, by which it is asked for."""
        digest = sha256(content).hexdigest()
        patience = httpx.Timeout(FILE_SECONDS, connect=3)
        self._send("PUT", _path(("imports", "files", digest)), content=content, timeout=patience)
        return digest

    def follow(self, **query: object) -> Iterator[Json]:
        """What happens, from now on until the stream ends; {} is a heartbeat."""
        patience = httpx.Timeout(15, connect=3, read=SILENCE_SECONDS)
        try:
            with self._http.stream("GET", "/v1/stream", params=_given(query), timeout=patience) as response:
                if not response.is_success:
                    response.read()
                    raise _refusal(response)
                for message in EventSource(response).iter_sse():
                    yield message.json() if message.data else {}
        except (httpx.TransportError, SSEError) as error:
            raise self._away() from error

    def command(
        self,
        method: str,
        *place: str,
        key: str,
        body: Json | None = None,
        yaml: str | None = None,
        version: int | None = None,
        **query: object,
    ) -> Written:
        """Asks for a change. The same `key` has one effect, however often it is sent.

        `version` is the one that the person saw; ApiError 412 says that somebody else was faster.
        """
        headers = {"Idempotency-Key": key}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        content: Json = {} if body is None else {"json": body}
        if yaml is not None:
            headers["Content-Type"] = YAML
            content = {"content": yaml.encode()}
        answer = self._patiently(method, _path(place), params=_given(query), headers=headers, **content)
        self._written = (int(answer["position"]), time.monotonic())
        return Written(answer["id"], answer["version"])

    def _walk(self, place: tuple[str, ...], query: Json) -> Iterator[Json]:
        cursor: str | None = None
        while True:
            page = self.page(*place, limit=PAGE_LIMIT, cursor=cursor, **query)
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def _after(self) -> Json:
        """Reads know what this person has just done."""
        position, at = self._written
        return {"after": position} if time.monotonic() - at < REMEMBER_SECONDS else {}

    def _patiently(self, method: str, path: str, **request: Any) -> Json:
        """Asks again while an earlier request under the same key is being worked on."""
        deadline = time.monotonic() + IN_FLIGHT_SECONDS
        while True:
            try:
                return self._json(method, path, **request)
            except InFlight:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_SECONDS)

    def _json(self, method: str, path: str, **request: Any) -> Json:
        return cast(Json, self._send(method, path, **request).json())

    def _send(
        self,
        method: str,
        path: str,
        accepted: Callable[[httpx.Response], bool] = lambda response: response.is_success,
        **request: Any,
    ) -> httpx.Response:
        try:
            response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._away() from error
        if accepted(response):
            return response
        raise _refusal(response)

    def _away(self) -> Unavailable:
        detail = f"No gateway answers at {self.url}. The command caravan up starts one."
        return Unavailable(503, "Caravan is not there", detail)


def _tells_health(response: httpx.Response) -> bool:
    """Also the 503 of a gateway that names the parts which do not work, but not that of one that can tell nothing."""
    try:
        return "checks" in response.json()
    except ValueError:
        return False


def _refusal(response: httpx.Response) -> ApiError:
    try:
        problem = response.json()
        title, detail = problem["title"], problem.get("detail") or problem["title"]
        faults = tuple(_fault(fault) for fault in problem.get("errors") or ())
        in_flight = problem.get("type") == "urn:caravan:problem:in-flight"
    except (ValueError, KeyError, TypeError):
        title, detail, faults = response.reason_phrase, response.text[:500] or response.reason_phrase, ()
        in_flight = False
    if in_flight:
        return InFlight(response.status_code, title, detail)
    status = response.status_code
    kind = {401: TokenRefused, 502: Unavailable, 503: Unavailable, 504: Unavailable}.get(status, ApiError)
    return kind(status, title, detail, faults)


def _fault(fault: Json) -> Fault:
    return Fault(fault.get("parameter") or fault["pointer"], fault["detail"])


def _path(place: tuple[str, ...]) -> str:
    return "/v1/" + "/".join(quote(segment, safe="@") for segment in place)


def _given(query: Json) -> Json:
    return {name: value for name, value in query.items() if value is not None and value != ""}
