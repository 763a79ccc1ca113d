"""Files that the command line is given: what is wrong with one is said in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.datasets import read_holdout
from gateway.cli.output import plain_errors


def said(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words, env={"TERM": "dumb", "COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.mark.parametrize("command", [["agents", "validate"], ["agents", "apply"], ["run", "--tasks"]])
def test_a_file_that_is_not_there_is_a_mistake_in_the_command_line(command: list[str], tmp_path: Path) -> None:
    code, output = said(*command, str(tmp_path / "nothing"))
    assert code == 2
    assert "does not exist" in output


def test_a_file_that_is_no_text_is_told_with_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "agents.yaml"
    file.write_bytes(b"agents:\n\xff")
    code, output = said("agents", "validate", str(file))
    assert (code, output.strip()) == (1, "✗ line 2, column 1: byte 0xff is not UTF-8; save the file as UTF-8")


def test_a_dataset_is_not_saved_over_a_folder(tmp_path: Path) -> None:
    code, output = said("dataset", "build", "--output", str(tmp_path))
    assert code == 2
    assert "is a directory" in output


def test_a_file_that_cannot_be_written_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), plain_errors():
        Path("/proc/nothing/here").write_text("")
    assert capsys.readouterr().err.strip() == "✗ /proc/nothing/here: No such file or directory"


def test_a_holdout_is_read_as_texts_turns_or_prompts(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('"Why?"\n\n{"turns": ["How?", "And then?"], "category": "x"}\n{"prompt": "Who?"}\n', "utf-8")
    assert read_holdout(file) == ["Why?", "How?", "And then?", "Who?"]
    for line in ("{}", "7", "no JSON", '{"turns": [1]}'):
        file.write_text(line, "utf-8")
        code, output = said("dataset", "build", "--holdout", str(file))
        assert code == 1
        assert "line 1" in output


@pytest.mark.parametrize("wrong", [("--as-of", "yesterday"), ("--split", "test"), ("--split", "test=much")])
def test_a_dataset_is_not_asked_for_in_words_that_mean_nothing(wrong: tuple[str, str]) -> None:
    code, output = said("dataset", "build", *wrong)
    assert code == 2
    assert "e.g." in output
