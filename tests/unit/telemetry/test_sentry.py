"""An error that is logged comes to Sentry with the ids of its line, and without a secret."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from loguru import logger

from adapters.telemetry.sentry import SentryUnusable, reported
from gateway.logging import redacted

TOKEN = "crv_" + "A9-_" * 10


class Sentry:
    """Plays the endpoint that takes envelopes."""

    def __init__(self) -> None:
        sentry = self
        self.events: list[dict[str, Any]] = []
        self.raw = b""

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                sentry.raw += body
                _, item, payload, *_ = body.split(b"\n")
                if json.loads(item)["type"] == "event":
                    sentry.events.append(json.loads(payload))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.dsn = f"http://public@127.0.0.1:{self.server.server_port}/7"


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    sentry = Sentry()
    thread = threading.Thread(target=sentry.server.serve_forever)
    thread.start()
    yield sentry
    sentry.server.shutdown()
    thread.join()
    sentry.server.server_close()


def break_with(secret: str) -> None:
    password = f"{secret}-s3cret"
    raise ValueError(f"no {len(password)} for {secret}")


def test_an_error_comes_with_its_lines_ids_and_without_secrets(sentry: Sentry) -> None:
    with reported(sentry.dsn, "worker", "prod", redacted), logger.contextualize(run="42", trace_id="ab", agent="anna"):
        logger.error("an error without exception is no event")
        try:
            break_with(TOKEN)
        except ValueError:
            logger.exception("run {} failed for {}", 42, TOKEN)
    (event,) = sentry.events
    assert event["tags"].items() >= {"run": "42", "trace_id": "ab", "agent": "anna"}.items()
    assert (event["environment"], event["server_name"]) == ("prod", "worker")
    (error,) = event["exception"]["values"]
    assert (error["type"], error["stacktrace"]["frames"][-1]["function"]) == ("ValueError", "break_with")
    assert "vars" not in error["stacktrace"]["frames"][-1]
    assert TOKEN.encode() not in sentry.raw
    assert b"s3cret" not in sentry.raw
    assert event["extra"]["message"] == "run 42 failed for crv_***"


def test_afterwards_nothing_is_sent(sentry: Sentry) -> None:
    with reported(sentry.dsn, "worker", "dev", redacted):
        pass
    try:
        break_with("it")
    except ValueError:
        logger.exception("nobody is told")
    assert sentry.events == []


def test_where_the_package_is_missing_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(SentryUnusable, match=r"caravan\[sentry\]"), reported("http://a@b/1", "worker", "dev", redacted):
        pass


def test_what_is_no_dsn_is_refused() -> None:
    with pytest.raises(SentryUnusable, match="DSN"), reported("nonsense", "worker", "dev", redacted):
        pass
