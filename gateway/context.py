"""What a request carries besides its body: its id, its trace, and under which envelope its commands run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID, uuid5

from opentelemetry import trace
from uuid_utils.compat import uuid4

from domain.access import Caller
from domain.errors import Invalid
from domain.events import Envelope

COMMANDS = UUID("0b8e3c1e-6a53-5f0f-9a57-5f2b1f0c9d21")
"""The namespace of the command ids that follow from an Idempotency-Key."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """`traceparent` is W3C Trace Context with this request's own span id, in the caller's trace if there is one; where
    requests are traced, that of the span which is open."""

    request_id: str
    correlation_id: UUID
    traceparent: str

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> RequestContext:
        """Takes over what the caller sent in proper form, and makes up the rest."""
        request_id = headers.get("x-request-id", "")
        return cls(
            request_id=request_id if _REQUEST_ID.fullmatch(request_id) else uuid4().hex,
            correlation_id=_uuid(headers.get("x-correlation-id", "")) or uuid4(),
            traceparent=_current() or _child_of(headers.get("traceparent", "")),
        )

    @property
    def trace_id(self) -> str:
        return self.traceparent.split("-")[1]

    @property
    def span_id(self) -> str:
        return self.traceparent.split("-")[2]


def envelope_of(caller: Caller, context: RequestContext) -> Envelope:
    """The envelope of a request's command. The actor is the token's."""
    return Envelope(caller.actor, context.correlation_id, traceparent=context.traceparent)


def repeatable(envelope: Envelope, key: str, method: str, target: str, body: bytes) -> Envelope:
    """The same for a request with an Idempotency-Key; `target` is path and query.

    The command's id follows from caller, method, target and key, so that a repeat has one effect; the fingerprint tells
    a repeat from another request under the same key. Raises Invalid for a bad key.
    """
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Invalid("Idempotency-Key must be 1 to 255 visible ASCII characters, e.g. a UUID")
    return replace(
        envelope,
        command_id=uuid5(COMMANDS, "\n".join((envelope.actor.subject, method, target, key))),
        fingerprint=sha256(f"{method} {target}\n".encode() + body).digest(),
    )


def _current() -> str | None:
    span = trace.get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else None


def _child_of(traceparent: str) -> str:
    sent = _TRACEPARENT.fullmatch(traceparent)
    trace_id, flags = sent.groups() if sent else (uuid4().hex, "01")
    return f"00-{trace_id}-{uuid4().hex[:16]}-{flags}"


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
