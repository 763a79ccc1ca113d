"""Errors for Sentry, where somebody gives its DSN: whatever is logged with an exception, under the ids of its line.

The package sentry-sdk comes with the extra `sentry`: `pip install 'caravan[sentry]'`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message

END_SECONDS = 2.0
"""How long a process that ends waits for its last errors to be sent."""
TAGS = ("process", "request_id", "trace_id", "span_id", "run", "step", "job", "policy", "agent", "epoch")
Redact = Callable[[str], str]


class SentryUnusable(Exception):
    """A DSN is set, and nothing can be sent to it."""


@contextmanager
def reported(dsn: str, process: str, environment: str, redact: Redact) -> Iterator[None]:
    """Within it, errors are sent. Neither values of variables, nor requests, nor the machine's name are; `redact`
    blots out what must not be read in any text. Raises SentryUnusable."""
    try:
        import sentry_sdk
    except ImportError as missing:
        raise SentryUnusable(
            "CARAVAN_SENTRY_DSN is set, but sentry-sdk is not installed: pip install 'caravan[sentry]', or unset it"
        ) from missing
    try:
        sentry_sdk.utils.Dsn(dsn)
    except sentry_sdk.utils.BadDsn as error:
        raise SentryUnusable(f"CARAVAN_SENTRY_DSN is not what Sentry calls a DSN: {error}") from error
    client = sentry_sdk.Client(
        dsn=dsn,
        release=f"caravan@{version('caravan')}",
        environment=environment,
        server_name=process,
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=lambda event, _hint: _redacted(event, redact),
        shutdown_timeout=END_SECONDS,
    )

    def report(message: Message) -> None:
        record = message.record
        with sentry_sdk.isolation_scope() as scope:
            scope.set_client(client)
            for name in TAGS:
                if value := record["extra"].get(name):
                    scope.set_tag(name, str(value))
            scope.set_extra("message", record["message"])
            error = record["exception"]
            scope.capture_exception(error.value if error else None)

    sink = logger.add(report, level="ERROR", filter=lambda record: bool(record["exception"]), catch=True)
    try:
        yield
    finally:
        logger.remove(sink)
        client.close(timeout=END_SECONDS)


def _redacted(value: Any, redact: Redact) -> Any:
    match value:
        case str():
            return redact(value)
        case dict():
            return {name: _redacted(each, redact) for name, each in value.items()}
        case list():
            return [_redacted(each, redact) for each in value]
        case _:
            return value
