"""JSON logs, one object a line, each with the request, trace, run and task that it belongs to. Tokens never get in."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from loguru import logger
from opentelemetry import trace

if TYPE_CHECKING:
    from loguru import Record


class LogArchive(Protocol):
    """Keeps logs of more than `largest` bytes."""

    @property
    def largest(self) -> int: ...

    def move(self, log: Path) -> None:
        """Keeps a log that nobody writes to any more, and removes it."""


Redact = Callable[[str], str]
_TOKEN = re.compile(r"(crv_|[Bb]earer[ .])[A-Za-z0-9_.~+/=-]{8,}")
_LIBRARIES = ("uvicorn", "uvicorn.error", "faststream", "nats", "alembic", "sqlalchemy.engine")


def configure_logging(
    level: str,
    process: str,
    sink: TextIO | Path | None = None,
    archive: LogArchive | None = None,
    hide: Redact = str,
) -> None:
    """Sends everything that this process logs, the libraries' words too, to `sink` (stderr) as JSON. Values of
    variables, which may be secret, stay out of tracebacks, and those that `hide` knows out of every line. `archive`
    takes a file that has grown too large."""
    kept: dict[str, Any] = {"rotation": archive.largest, "compression": _into(archive)} if archive else {}
    logger.remove()
    logger.configure(extra={"process": process}, patcher=_in_its_span)
    lines = partial(_line, hide=hide)
    logger.add(sink or sys.stderr, level=level, format=lines, colorize=False, backtrace=False, diagnose=False, **kept)
    logging.basicConfig(handlers=[_ToLoguru()], level=max(logging.getLevelName(level), logging.INFO), force=True)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers, library.propagate = [], True
    for chatty in ("camel", "httpx", "httpx2", "httpcore", "mcp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("mcp.client.stdio").setLevel(logging.CRITICAL)  # a traceback for each line that is no message
    logging.getLogger("uvicorn.access").disabled = True


def _into(archive: LogArchive) -> Callable[[str], None]:
    return lambda file: archive.move(Path(file))


def _in_its_span(record: Record) -> None:
    """Where a span is open, the line is a part of it."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        record["extra"] |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


def _line(record: Record, hide: Redact) -> str:
    record["extra"]["line"] = redacted(_as_json(record), hide)
    return "{extra[line]}\n"


def _as_json(record: Record) -> str:
    """One line. What `logger.contextualize` and `logger.bind` said lies beside the message."""
    line = {
        "time": record["time"].astimezone().isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "logger": record["name"],
        "message": record["message"],
        **record["extra"],
    }
    if error := record["exception"]:
        line["exception"] = "".join(traceback.format_exception(error.type, error.value, error.traceback))
    return json.dumps(line, default=str)


def redacted(text: str, hide: Redact = str) -> str:
    """The text with everything blotted out that looks like a token, and what `hide` knows besides."""
    return _TOKEN.sub(r"\1***", hide(text))


class _ToLoguru(logging.Handler):
    """Passes the standard library's records on, with the place that they come from."""

    def emit(self, record: logging.LogRecord) -> None:
        frame: FrameType | None = sys._getframe(1)
        depth = 1
        while frame and frame.f_code.co_filename == logging.__file__:
            frame, depth = frame.f_back, depth + 1
        level = record.levelname if record.levelname in logger._core.levels else record.levelno  # type: ignore[attr-defined]
        logger.opt(depth=depth, exception=record.exc_info).log(level, "{}", record.getMessage())
