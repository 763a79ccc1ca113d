"""Logs are one JSON object a line, and hold no token."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from loguru import logger
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

from adapters.embedded.log_archive import LogArchive
from adapters.known_secrets import KnownSecrets
from gateway.logging import configure_logging, redacted

TOKEN = "crv_" + "A9-_" * 10


@pytest.fixture
def log() -> Iterator[StringIO]:
    stream = StringIO()
    before = logging.root.handlers[:], logging.root.level
    configure_logging("INFO", "gateway", stream)
    yield stream
    logger.remove()
    logging.root.handlers[:], logging.root.level = before


def lines(log: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_context_lies_beside_the_message(log: StringIO) -> None:
    with logger.contextualize(request_id="r-1", run="42"):
        logger.info("step {} is done", 3)
    (line,) = lines(log)
    assert (line["message"], line["level"], line["process"]) == ("step 3 is done", "INFO", "gateway")
    assert (line["request_id"], line["run"]) == ("r-1", "42")


def test_an_exception_is_one_line_with_its_traceback(log: StringIO) -> None:
    try:
        raise ValueError("no {braces} are read")
    except ValueError as error:
        logger.opt(exception=error).error("it broke")
    (line,) = lines(log)
    assert "ValueError: no {braces} are read" in str(line["exception"])


def test_a_file_is_json_too_and_tells_no_values_of_variables(log: StringIO, tmp_path: Path) -> None:
    file = tmp_path / "supervisor.log"
    configure_logging("INFO", "supervisor", file)
    password = "s3cret".upper()
    try:
        _ = 1 / (len(password) - 6)
    except ZeroDivisionError:
        logger.exception("it broke")
    (line,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (line["message"], line["process"]) == ("it broke", "supervisor")
    assert "ZeroDivisionError" in line["exception"]
    assert "S3CRET" not in line["exception"]


def test_a_file_that_has_grown_too_large_is_archived(log: StringIO, tmp_path: Path) -> None:
    archive = LogArchive(tmp_path / "archive", largest=500)
    configure_logging("INFO", "supervisor", tmp_path / "supervisor.log", archive)
    for n in range(10):
        logger.info("line {} of some length", n)
    archived = [gzip.decompress(file.read_bytes()).decode() for file in sorted(archive.folder.iterdir())]
    kept = "".join((*archived, (tmp_path / "supervisor.log").read_text()))
    assert [json.loads(line)["message"] for line in kept.splitlines()] == [
        f"line {n} of some length" for n in range(10)
    ]
    assert {file.name for file in tmp_path.iterdir()} == {"archive", "supervisor.log"}


def test_a_line_within_a_span_names_it(log: StringIO) -> None:
    context = SpanContext(0xAB, 0xCD, is_remote=False)
    with logger.contextualize(trace_id="the request's"), use_span(NonRecordingSpan(context)):
        logger.info("within")
    (line,) = lines(log)
    assert (line["trace_id"], line["span_id"]) == ("ab".rjust(32, "0"), "cd".rjust(16, "0"))


def test_libraries_log_through_the_same_door(log: StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("%d%% {full}", 99)
    (line,) = lines(log)
    assert (line["message"], line["level"]) == ("99% {full}", "WARNING")


@pytest.mark.parametrize(
    "text", [f"header Authorization: Bearer {TOKEN}", f"subprotocol bearer.{TOKEN}", f'{{"token": "{TOKEN}"}}']
)
def test_a_token_is_blotted_out(text: str) -> None:
    assert TOKEN not in redacted(text)
    assert "***" in redacted(text)


def test_a_secret_that_is_known_is_in_no_line_and_in_no_traceback(log: StringIO) -> None:
    configure_logging("INFO", "worker", log, hide=KnownSecrets(['a "secret" key-1']).hide)
    try:
        raise ValueError('the endpoint says: a "secret" key-1')
    except ValueError:
        logger.exception('it knows a "secret" key-1, {}', "too")
    (line,) = lines(log)
    assert line["message"] == "it knows ***, too"
    assert "the endpoint says: ***" in str(line["exception"])
    assert "secret" not in str(line["exception"]).rpartition("ValueError")[2]


def test_ordinary_words_stay() -> None:
    assert redacted("the bearer of bad news; crv_") == "the bearer of bad news; crv_"


def test_a_tool_server_that_prints_does_not_fill_the_log(log: StringIO) -> None:
    logging.getLogger("mcp.client.stdio").error("Failed to parse JSONRPC message from server")
    assert lines(log) == []
