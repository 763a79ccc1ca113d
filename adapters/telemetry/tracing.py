"""Spans, where traces are sent (adapters/telemetry/export.py): elsewhere all of this does nothing, and little of it is
even called."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from domain.errors import DomainError

_W3C = TraceContextTextMapPropagator()
_tracer: Tracer | None = None


def is_on() -> bool:
    """Whether this process sends traces."""
    return _tracer is not None


def endpoint(base: str) -> str | None:
    """Where spans go: as OTEL_EXPORTER_OTLP_TRACES_ENDPOINT says, else to the receiver at `base`, e.g.
    `http://127.0.0.1:4318`. None: nowhere, as neither is given, or OpenTelemetry is told to keep still."""
    said = os.environ.get
    if said("OTEL_SDK_DISABLED", "").lower() == "true" or said("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return None
    return said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (f"{base.rstrip('/')}/v1/traces" if base else None)


@contextmanager
def made_by(provider: TracerProvider) -> Iterator[None]:
    """Within it, our spans are that provider's."""
    global _tracer
    before, _tracer = _tracer, provider.get_tracer("caravan", version("caravan"))
    try:
        yield
    finally:
        _tracer = before


@contextmanager
def span(
    name: str,
    attributes: Mapping[str, AttributeValue] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    cause: str | None = None,
) -> Iterator[Span]:
    """What is done within it, as a part of the work around it where that is of the same trace; else as what follows
    from the traceparent `cause`. An error is named, and its text left to the logs."""
    if _tracer is None:
        yield trace.INVALID_SPAN
        return
    with _tracer.start_as_current_span(
        name, parent_of(cause), kind, attributes, record_exception=False, set_status_on_exception=False
    ) as started:
        try:
            yield started
        except BaseException as error:
            started.set_attribute(ERROR_TYPE, type(error).__name__)
            if isinstance(error, Exception) and not isinstance(error, DomainError):
                started.set_status(StatusCode.ERROR)
            raise


def finished(
    name: str, attributes: Mapping[str, AttributeValue], kind: SpanKind, cause: str | None, began: int
) -> None:
    """A span of what was done from `began` (ns since 1970) until now, because of the traceparent `cause`; none where
    that names no trace, or one that is not sampled."""
    caused = _W3C.extract({"traceparent": cause or ""})
    if _tracer is not None and trace.get_current_span(caused).get_span_context().trace_flags.sampled:
        _tracer.start_span(name, caused, kind, attributes, start_time=began).end()


def parent_of(cause: str | None) -> Context | None:
    """The context in which what follows from `cause` goes on; None: the one that is current already."""
    if cause is None:
        return None
    caused = _W3C.extract({"traceparent": cause})
    current = trace.get_current_span().get_span_context()
    same_trace = current.trace_id == trace.get_current_span(caused).get_span_context().trace_id
    return None if current.is_valid and same_trace else caused


def traceparent_of(started: Span) -> str | None:
    """That span as W3C Trace Context; None where there is none."""
    context = started.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
