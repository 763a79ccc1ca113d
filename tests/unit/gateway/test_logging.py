"""Logs are one JSON object a line, and hold no token."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from loguru import logger

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


def test_ordinary_words_stay() -> None:
    assert redacted("the bearer of bad news; crv_") == "the bearer of bad news; crv_"
