"""The AsyncAPI document: every event on NATS and on the live stream, described from the very classes that make it."""

from __future__ import annotations

from typing import Any

from eventsourcing.domain import AggregateEvent
from pydantic import TypeAdapter

from domain.catalogue import EVENT_TYPES, aggregate_topic, schema_version

NOT_DATA = frozenset({"originator_id", "originator_version", "originator_topic"})
"""An event's identity, which the envelope says."""

_TEXT = {"type": "string"}
_ID = {"type": "string", "format": "uuid"}
_COUNT = {"type": "integer", "minimum": 1}

ENVELOPE: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0 in JSON. `position` is the place in the one total order, and the cursor to resume.",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _ID,
        "source": {"type": "string", "examples": ["/caravan/default"]},
        "type": _TEXT,
        "subject": _ID | {"description": "The aggregate that it happened to"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "position": _COUNT,
        "version": _COUNT | {"description": "The aggregate's version after it"},
        "schemaversion": _COUNT,
        "actor": _TEXT | {"description": "Who did it: the name of a token, or of a process"},
        "actorkind": {"enum": ["human", "agent", "automation"]},
        "correlationid": _ID,
        "causationid": _ID,
        "commandid": _ID,
        "traceparent": _TEXT,
        "project": _TEXT,
        "datasubjects": _TEXT | {"description": "Whom the data is about, with commas between; absent: nobody is named"},
        "data": {"type": "object"},
        "data_base64": _TEXT | {"description": "In place of `data`: the stored bytes, where they are no JSON"},
        "dataref": _TEXT | {"description": "In place of `data`: where the API shows an event too large for NATS"},
    },
    "required": ["specversion", "id", "source", "type", "subject", "time", "position", "version"],
    "oneOf": [{"required": [name]} for name in ("data", "data_base64", "dataref")],
}

ASIDES: dict[str, dict[str, Any]] = {
    "heartbeat": {
        "type": "object",
        "description": "Nothing more that is wanted happened up to `position`: from there the stream may be resumed. "
        "In server-sent events it is a comment, with the position as its `id`.",
        "properties": {"type": {"const": "heartbeat"}, "position": {"type": "integer", "minimum": 0}},
        "required": ["type", "position"],
    },
    "token_delta": {
        "type": "object",
        "description": "With `deltas=true`: more of what is said for a step, before it is recorded. `seq` 0 begins the "
        "text, or begins it anew in place of what came before; each following one is added. It has no position, is not "
        "kept, and may be lost: the step's event, workflow.step_recorded, brings the whole text, and none comes after "
        "it. In server-sent events it has no `id`.",
        "properties": {
            "type": {"const": "token_delta"},
            "run": _ID,
            "step": _ID | {"description": "The id that the step will have"},
            "agent": _TEXT,
            "phase": _TEXT | {"examples": ["answer"]},
            "n": {"type": "integer", "minimum": 0},
            "attempt": _COUNT | {"description": "Above 1: the step was begun before, by a worker that was lost"},
            "seq": {"type": "integer", "minimum": 0},
            "text": _TEXT,
        },
        "required": ["type", "run", "step", "agent", "phase", "n", "attempt", "seq", "text"],
    },
    "ended": {
        "type": "object",
        "description": "The last server-sent event of a stream that the server ends. A WebSocket is closed with the "
        "same code and reason instead. 4429: the client reads too slowly; 4401: its token was revoked; 1013: the log "
        "cannot be read right now. After the first and the last, come back with the last position seen as `after`.",
        "properties": {"code": _COUNT | {"enum": [4429, 4401, 1013]}, "reason": _TEXT},
        "required": ["code", "reason"],
    },
}
"""What a stream says beside events."""


def asyncapi(version: str) -> dict[str, Any]:
    """The document, AsyncAPI 3.0. `version`: of the software."""
    payloads, definitions = _payloads()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Caravan's events",
            "version": version,
            "description": "Published on NATS JetStream (stream EVENTS), and sent by /v1/stream.",
        },
        "channels": {topic: _channel(topic) for topic in EVENT_TYPES} | {"stream": _stream()},
        "operations": {
            "follow": {"action": "receive", "channel": {"$ref": "#/channels/stream"}},
        },
        "components": {
            "messages": _messages(),
            "schemas": {"Envelope": ENVELOPE, **payloads, **definitions, **ASIDES},
        },
    }


def _payloads() -> tuple[dict[str, Any], dict[str, Any]]:
    payloads: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for topic, event in EVENT_TYPES.items():
        data = TypeAdapter(event).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        for name, definition in data.pop("$defs", {}).items():
            if definitions.setdefault(name, definition) != definition:
                raise ValueError(f"two different types are called {name}; events must not share a name for both")
        payloads[topic] = _event(topic, _without_identity(data))
    return payloads, definitions


def _without_identity(schema: dict[str, Any]) -> dict[str, Any]:
    properties = {name: value for name, value in schema["properties"].items() if name not in NOT_DATA}
    required = [name for name in schema.get("required", ()) if name not in NOT_DATA]
    return {"type": "object", "properties": properties, "required": required}


def _event(topic: str, data: dict[str, Any]) -> dict[str, Any]:
    own = {"properties": {"type": {"const": topic}, "data": data}}
    return {"allOf": [{"$ref": "#/components/schemas/Envelope"}, own]}


def _channel(topic: str) -> dict[str, Any]:
    return {
        "address": f"events.{topic}",
        "description": f"NATS subject; what happens to each {aggregate_topic(topic).replace('_', ' ')}",
        "messages": {topic: {"$ref": f"#/components/messages/{topic}"}},
    }


def _stream() -> dict[str, Any]:
    return {
        "address": "/v1/stream",
        "description": "WebSocket, or server-sent events",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages()},
    }


def _messages() -> dict[str, Any]:
    return {topic: _told(topic, event) for topic, event in EVENT_TYPES.items()} | {name: _said(name) for name in ASIDES}


def _told(topic: str, event: type[AggregateEvent]) -> dict[str, Any]:
    return {
        "name": topic,
        "title": f"{topic}, version {schema_version(event)}",
        "summary": " ".join((event.__doc__ or "").split()) if event.__doc__ else topic,
        "contentType": "application/cloudevents+json",
        "payload": {"$ref": f"#/components/schemas/{topic}"},
    }


def _said(name: str) -> dict[str, Any]:
    payload = {"$ref": f"#/components/schemas/{name}"}
    return {"name": name, "title": name, "contentType": "application/json", "payload": payload}
