"""The Spans port where nobody traces: log lines carry the ids, and that is all."""

from __future__ import annotations

from contextlib import AbstractContextManager

from loguru import logger

from domain.events import Recorded


def in_logs(_name: str, /, cause: Recorded | None = None, **ids: str | int) -> AbstractContextManager[None]:
    """While it is open, log lines carry the ids, and those of the trace that led to `cause`."""
    trace = {"trace_id": cause.trace_id} if cause else {}
    return logger.contextualize(**ids, **trace)
