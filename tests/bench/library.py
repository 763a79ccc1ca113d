"""The peer: the `eventsourcing` library as it comes, on a database of its own."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import JSONTranscoder, Transcoder, Transcoding
from psycopg.conninfo import conninfo_to_dict

from domain.model_call import Message, ModelCall, Usage
from domain.steps import Step, Task


def environment(url: str) -> dict[str, str]:
    """What the library is told to use that database."""
    conninfo = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(conninfo["dbname"]),
        "POSTGRES_HOST": str(conninfo["host"]),
        "POSTGRES_PORT": str(conninfo["port"]),
        "POSTGRES_USER": str(conninfo["user"]),
        "POSTGRES_PASSWORD": "-",
        "POSTGRES_POOL_SIZE": "16",
        "POSTGRES_MAX_OVERFLOW": "112",
    }


class StepLog(Application[UUID]):
    """Keeps our step events in the library's own JSON."""

    def register_transcodings(self, transcoder: Transcoder) -> None:
        super().register_transcodings(transcoder)
        assert isinstance(transcoder, JSONTranscoder)
        for type in (Task, Step, ModelCall, Message, Usage):
            transcoder.register(ValueAsDict(type))


class ValueAsDict(Transcoding):
    """How the library is taught a nested value."""

    def __init__(self, type: type[Any]) -> None:
        self.type = type
        self.name = type.__name__

    def encode(self, obj: Any) -> dict[str, Any]:
        return {field.name: getattr(obj, field.name) for field in fields(self.type)}

    def decode(self, data: dict[str, Any]) -> Any:
        return self.type(**data)
