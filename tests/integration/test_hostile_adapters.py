"""An adapter is hostile until proven otherwise: each way of being so is refused, and told."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from adapters.artifacts import sha256_of
from adapters.model_server.adapter_check import check_adapter
from adapters.model_server.adapter_folder import AdapterFolder
from adapters.model_server.errors import AdapterRefused, ModelNotFound
from adapters.model_server.model import linear_layers
from adapters.model_server.served_adapters import ServedAdapters
from tests.integration.model_servers import BASE_NAME, save_adapter


@pytest.fixture(scope="module")
def layers(tiny_model):
    return linear_layers(AutoModelForCausalLM.from_pretrained(tiny_model))


@pytest.fixture
def adapter(tiny_model, tmp_path):
    return save_adapter(tiny_model, tmp_path / "team@1", seed=1)


def set_config(adapter, **settings):
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def change_tensors(adapter, change):
    tensors = load_file(adapter / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, adapter / "adapter_model.safetensors")


def write_passport(adapter, **passport):
    (adapter / "passport.json").write_text(json.dumps(passport))


def test_an_adapter_as_peft_writes_it_passes(adapter, layers):
    passed = check_adapter(adapter, BASE_NAME, layers)

    assert passed.name == "team@1"
    assert len(passed.fingerprint) == 16


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"peft_type": "IA3"}, "peft_type"),
        ({"base_model_name_or_path": "another-model"}, "another-model"),
        ({"r": 100_000}, "r:"),
        ({"r": 8}, "shape"),
        ({"lora_alpha": "NaN"}, "lora_alpha"),
        ({"target_modules": ["lm_head"]}, "lm_head"),
        ({"target_modules": "(a+)+b"}, "target_modules"),
        ({"target_modules": ["q_proj"]}, "tensor"),
        ({"rank_pattern": {"q_proj": 4096}}, "rank_pattern"),
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save"),
        ({"layer_replication": [[0, 999_999]]}, "layer_replication"),
        ({"use_dora": True}, "use_dora"),
        ({"megatron_config": {"x": 1}}, "megatron_config"),
        ({"megatron_core": "antigravity"}, "megatron_core"),
        ({"auto_mapping": {"parent_library": "antigravity"}}, "auto_mapping"),
        ({"task_type": "SEQ_CLS"}, "task_type"),
        ({"trust_remote_code": True}, "trust_remote_code"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"base_model_name_or_path": "../../another/model"}, "another/model"),
        ({"exclude_modules": ["v_proj"]}, "exclude_modules"),
        ({"layers_to_transform": [0]}, "layers_to_transform"),
        ({"lora_bias": True}, "lora_bias"),
        ({"r": -1}, "r:"),
    ],
)
def test_a_config_that_asks_for_more_than_plain_lora_is_refused(adapter, layers, settings, reason):
    set_config(adapter, **settings)

    with pytest.raises(AdapterRefused, match=reason):
        check_adapter(adapter, BASE_NAME, layers)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("adapter_model.bin", pickle.dumps({})),
        ("adapter_model.pt", pickle.dumps({})),
        ("adapter_model.safetensors", pickle.dumps({"weights": [1.0]})),
        ("new_embeddings.safetensors", b""),
        ("new_embeddings.bin", b""),
        ("modeling_evil.py", b"print('loaded')"),
        ("adapter_config.json", b"not json"),
        ("adapter_config.json", b"[" * 50_000),
        ("adapter_config.json", b" " * 70_000),
        ("adapter_model.safetensors", b"\xff" * 64),
        ("adapter_model.safetensors", b""),
    ],
)
def test_files_that_are_not_what_they_should_be_are_refused(adapter, layers, file, content):
    (adapter / file).write_bytes(content)

    with pytest.raises(AdapterRefused, match=file):
        check_adapter(adapter, BASE_NAME, layers)


@pytest.mark.parametrize("missing", ["adapter_model.safetensors", "adapter_config.json"])
def test_an_unfinished_adapter_is_refused(adapter, layers, missing):
    (adapter / missing).unlink()

    with pytest.raises(AdapterRefused, match=missing):
        check_adapter(adapter, BASE_NAME, layers)


def test_weights_that_are_not_those_of_the_passport_are_refused(adapter, layers):
    write_passport(adapter, sha256=sha256_of(adapter / "adapter_model.safetensors"))
    folder = AdapterFolder(adapter.parent, BASE_NAME, layers)
    assert folder.find("team@1").name == "team@1"

    change_tensors(adapter, lambda tensors: [tensor.mul_(2) for tensor in tensors.values()])

    with pytest.raises(AdapterRefused, match="not what was trained: its sha256 is"):
        folder.find("team@1")


@pytest.mark.parametrize("passport", [{}, {"sha256": None}, {"sha256": "0" * 64}])
def test_a_passport_of_nothing_or_of_something_else_is_refused(adapter, layers, passport):
    write_passport(adapter, **passport)

    with pytest.raises(AdapterRefused, match=r"passport\.json"):
        check_adapter(adapter, BASE_NAME, layers)


def test_links_out_of_the_folder_are_refused(adapter, layers, tmp_path):
    outside = tmp_path / "outside.safetensors"
    (adapter / "adapter_model.safetensors").rename(outside)
    (adapter / "adapter_model.safetensors").symlink_to(outside)
    with pytest.raises(AdapterRefused, match="not a plain file"):
        check_adapter(adapter, BASE_NAME, layers)

    (tmp_path / "link@1").symlink_to(adapter)
    with pytest.raises(AdapterRefused, match="symbolic link"):
        check_adapter(tmp_path / "link@1", BASE_NAME, layers)


def test_weights_that_are_no_numbers_or_too_many_are_refused(adapter, layers):
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    change_tensors(adapter, lambda tensors: tensors[name].fill_(float("nan")))
    with pytest.raises(AdapterRefused, match="finite"):
        check_adapter(adapter, BASE_NAME, layers)

    change_tensors(adapter, lambda tensors: tensors.update({name: torch.ones(4, 64), "embed": torch.ones(1)}))
    with pytest.raises(AdapterRefused, match="embed"):
        check_adapter(adapter, BASE_NAME, layers)


def test_a_header_that_names_a_tensor_twice_or_lies_about_its_place_is_refused(adapter, layers):
    file = adapter / "adapter_model.safetensors"
    whole = file.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header, data = whole[8 : 8 + length], whole[8 + length :]
    first, second = sorted(json.loads(header).keys() - {"__metadata__"})[:2]

    for lie in (
        header.replace(second.encode(), first.encode()),
        header.replace(b'"data_offsets":[0,', b'"data_offsets":[9999999,'),
        header.rstrip()[:-1],
    ):
        file.write_bytes(len(lie).to_bytes(8, "little") + lie + data)
        with pytest.raises(AdapterRefused, match=r"adapter_model\.safetensors"):
            check_adapter(adapter, BASE_NAME, layers)
    file.write_bytes((2**62).to_bytes(8, "little") + header + data)
    with pytest.raises(AdapterRefused, match=r"adapter_model\.safetensors is not a safetensors file"):
        check_adapter(adapter, BASE_NAME, layers)


def test_weights_that_are_too_many_to_read_are_refused(adapter, layers, monkeypatch):
    monkeypatch.setattr("adapters.model_server.adapter_check.MAX_WEIGHTS_BYTES", 1_000)
    with pytest.raises(AdapterRefused, match="larger than 1000 bytes"):
        check_adapter(adapter, BASE_NAME, layers)


def test_whole_numbers_and_infinite_ones_are_refused(adapter, layers):
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    for odd in (torch.ones(4, 64, dtype=torch.int64), torch.full((4, 64), float("inf"))):
        change_tensors(adapter, lambda tensors, odd=odd: tensors.update({name: odd}))
        with pytest.raises(AdapterRefused, match="finite floating point"):
            check_adapter(adapter, BASE_NAME, layers)


def test_a_folder_or_a_pipe_in_a_files_place_is_refused(adapter, layers):
    (adapter / "inner").mkdir()
    with pytest.raises(AdapterRefused, match="inner is not a plain file"):
        check_adapter(adapter, BASE_NAME, layers)
    (adapter / "inner").rmdir()

    os.mkfifo(adapter / "README.txt")
    with pytest.raises(AdapterRefused, match=r"README\.txt is not a plain file"):
        check_adapter(adapter, BASE_NAME, layers)


def test_an_adapter_that_was_trained_on_other_weights_of_the_base_is_refused(adapter, layers):
    write_passport(adapter, sha256=sha256_of(adapter / "adapter_model.safetensors"), base_sha256="b" * 64)
    assert check_adapter(adapter, BASE_NAME, layers, base_sha256="b" * 64)

    with pytest.raises(AdapterRefused, match="other weights of the base model"):
        check_adapter(adapter, BASE_NAME, layers, base_sha256="c" * 64)


def test_a_refused_adapter_is_not_listed_and_asking_for_it_says_why(adapter, layers):
    served = ServedAdapters(AdapterFolder(adapter.parent, BASE_NAME, layers), BASE_NAME)
    served.load("team@1", "team@1")
    assert [one.name for one in served.adapters()] == ["team@1"]

    set_config(adapter, r=100_000)

    assert served.adapters() == []
    with pytest.raises(AdapterRefused, match=r"'team@1' is refused: adapter_config.json: r:"):
        served.find("team@1")


@pytest.mark.parametrize("name", ["../team@1", "", ".", "team@1/", "/etc", "team@1\0"])
def test_a_name_cannot_leave_the_folder(adapter, layers, name):
    with pytest.raises(ModelNotFound):
        AdapterFolder(adapter.parent, BASE_NAME, layers).find(name)
