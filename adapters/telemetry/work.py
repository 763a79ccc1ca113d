"""The spans of our own work: commands, appends, news, and what policies and workers do because of an event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import StoredEvent
from loguru import logger
from opentelemetry import trace
from opentelemetry.semconv._incubating.attributes import messaging_attributes as messaging
from opentelemetry.semconv.attributes.db_attributes import DB_OPERATION_NAME, DB_SYSTEM_NAME
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from adapters.event_store import PostgresEventStore
from adapters.telemetry import gen_ai
from adapters.telemetry.tracing import finished, is_on, span, traceparent_of
from domain.events import Envelope, Recorded
from domain.ports.events import Execute, Written


def command(execute: Execute, asked: object, envelope: Envelope) -> Written:
    """Executes it in a span of its own, from which what it records then follows."""
    name = type(asked).__name__
    attributes = {"caravan.command": name, "caravan.correlation": str(envelope.correlation_id)}
    with span(f"command {name}", attributes, cause=envelope.traceparent) as started:
        traceparent = traceparent_of(started) or envelope.traceparent
        written = execute(asked, replace(envelope, traceparent=traceparent))
        started.set_attributes(
            {
                "caravan.aggregate": str(written.id),
                "caravan.version": written.version,
                "caravan.position": written.position,
            }
        )
        return written


class TracedEventStore(PostgresEventStore):
    """The same, and each append has a span: from when it was asked for to the commit of the group that it went in."""

    def append(self, events: Iterable[DomainEventProtocol[UUID]], envelope: Envelope) -> list[tuple[int, StoredEvent]]:
        attributes: dict[str, AttributeValue] = {
            DB_SYSTEM_NAME: "postgresql",
            DB_OPERATION_NAME: "append_events",
            "caravan.saves_waiting": self.recorder.waiting,
        }
        with span("append", attributes, kind=SpanKind.CLIENT, cause=envelope.traceparent) as started:
            stored = super().append(events, envelope)
            if stored:
                started.set_attributes({"caravan.events": len(stored), "caravan.position": stored[-1][0]})
            return stored


def published(rows: Sequence[Mapping[str, Any]], began: int) -> None:
    """NATS was told of these events, from `began` (ns since 1970) until now. Those of sampled traces have spans."""
    for row in rows if is_on() else ():
        attributes = {
            messaging.MESSAGING_SYSTEM: "nats",
            messaging.MESSAGING_OPERATION_TYPE: "send",
            messaging.MESSAGING_OPERATION_NAME: "publish",
            messaging.MESSAGING_DESTINATION_NAME: f"events.{row['topic']}",
            messaging.MESSAGING_BATCH_MESSAGE_COUNT: len(rows),
            "caravan.position": row["notification_id"],
        }
        finished(f"publish {row['topic']}", attributes, SpanKind.PRODUCER, row["traceparent"], began)


@contextmanager
def work(name: str, /, cause: Recorded | None = None, **ids: str | int) -> Iterator[None]:
    """The Spans port: log lines carry the ids, and so does a span. What follows from an event is its consumer."""
    attributes: dict[str, AttributeValue] = {f"caravan.{key}": id for key, id in ids.items()}
    kind, traceparent, logged = SpanKind.INTERNAL, None, dict[str, str | int | None](ids)
    if cause:
        kind, traceparent = SpanKind.CONSUMER, cause.envelope.traceparent
        attributes |= {"caravan.event": cause.type, "caravan.position": cause.position}
        logged |= {"trace_id": cause.trace_id}
    with (
        logger.contextualize(**logged),
        span(name, attributes, kind=kind, cause=traceparent),
        gen_ai.conversation(str(ids["run"])) if "run" in ids else nullcontext(),
    ):
        yield


async def carry_trace(request: Any) -> None:
    """A hook for httpx: whoever answers the request goes on with the trace."""
    if trace.get_current_span().get_span_context().is_valid:
        TraceContextTextMapPropagator().inject(request.headers)
