"""Sends spans by OTLP over HTTP, in batches, from a thread of its own.

Spans wait in a bounded queue; what does not fit, or cannot be sent, is lost, and the work goes on. OpenTelemetry's own
variables (OTEL_...) say what is sampled, how long the queue is, and which headers are sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.semconv.attributes.url_attributes import URL_QUERY

from adapters.telemetry.tracing import made_by

EXPORT_SECONDS = 5.0
"""How long a batch may take; then it is lost."""
END_SECONDS = 3.0
"""How long a process that ends waits for its last spans to be sent."""


@contextmanager
def exported(process: str, endpoint: str) -> Iterator[None]:
    """Within it, this process's spans are sent. It ends in END_SECONDS, come what may."""
    provider = TracerProvider(resource=_resource(process), shutdown_on_exit=False)
    provider.add_span_processor(_QueriesHidden())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS)))
    trace.set_tracer_provider(provider)  # for FastAPI, which makes the spans of requests
    try:
        with made_by(provider):
            yield
    finally:
        ending = Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(END_SECONDS)


class _QueriesHidden(SpanProcessor):
    """What is looked for may be private, and a token may have come into an address by mistake."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.attributes and URL_QUERY in span.attributes:
            span.set_attribute(URL_QUERY, "REDACTED")


def _resource(process: str) -> Resource:
    """OTEL_RESOURCE_ATTRIBUTES adds to it."""
    named = {"service.version": version("caravan"), "service.instance.id": str(uuid4())}
    return Resource.create(named | {"service.namespace": "caravan", "service.name": f"caravan-{process}"})
