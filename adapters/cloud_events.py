"""A stored event as CloudEvents 1.0 JSON: what the relay publishes, streams send and the audit log shows."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from adapters.event_store import NOBODY
from domain.events import event_id

SOURCE = "/caravan"

CloudEvent = dict[str, Any]


def cloud_event(row: Mapping[str, Any]) -> CloudEvent:
    """`row`: of `stored_events`. Extensions carry the envelope; those that say nothing are left out.

    An event that was stored without an envelope gets what its readers need of one, the same as when it is decoded. An
    event whose data cannot be read as JSON is still told, as `data_base64`.
    """
    id, version = row["originator_id"], row["originator_version"]
    event = {
        "specversion": "1.0",
        "id": str(row["event_id"] or event_id(id, version)),
        "source": f"{SOURCE}/{row['project']}",
        "type": row["topic"],
        "subject": str(id),
        "time": row["recorded_at"].astimezone(UTC).isoformat(),
        "datacontenttype": "application/json",
        "position": row["notification_id"],
        "version": version,
        "schemaversion": row["schema_version"],
        "actor": row["actor_subject"] or NOBODY.subject,
        "actorkind": row["actor_kind"] or NOBODY.kind.value,
        "correlationid": str(row["correlation_id"] or id),
        "causationid": _text(row["causation_id"]),
        "commandid": _text(row["command_id"]),
        "traceparent": row["traceparent"],
        "project": row["project"],
        "datasubjects": ",".join(row["data_subjects"]) or None,
    }
    return {name: value for name, value in event.items() if value is not None} | _data(row["state"])


def _data(state: bytes) -> CloudEvent:
    try:
        return {"data": json.loads(state)}
    except ValueError:
        return {"data_base64": base64.b64encode(state).decode()}


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
