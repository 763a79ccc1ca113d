"""An adapter is hostile until proven otherwise: each way of being so is refused, and told."""

import json
import math
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


def test_a_file_that_is_larger_than_its_settings_say_is_refused_unread(adapter, layers):
    os.truncate(adapter / "adapter_model.safetensors", 2**40)
    with pytest.raises(AdapterRefused, match=r"adapter_model\.safetensors is larger than \d{5} bytes"):
        check_adapter(adapter, BASE_NAME, layers)


def test_an_adapter_of_a_large_base_is_as_large_as_its_settings_say(adapter):
    """All linear layers of a base of 8 billion parameters came to more than 256 MiB from rank 32 on."""
    set_config(adapter, r=128, target_modules=["down_proj"])
    layers = {f"model.layers.{n}.mlp.down_proj": (4_096, 14_336) for n in range(32)}
    tensors = [
        (f"base_model.model.{name}.lora_{part}.weight", shape)
        for name in layers
        for part, shape in (("A", [128, 14_336]), ("B", [4_096, 128]))
    ]
    write_zeros(adapter / "adapter_model.safetensors", tensors)

    assert check_adapter(adapter, BASE_NAME, layers).size > 256 * 2**20


def write_zeros(file, tensors):
    """As a file with a hole, which takes no room on the disk."""
    header, end = {}, 0
    for name, shape in tensors:
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(file, 8 + len(text) + end)


@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.int64, torch.bool, torch.uint16]
)
def test_weights_that_are_no_floating_point_numbers_of_a_common_width_are_refused(adapter, layers, dtype):
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    change_tensors(adapter, lambda tensors: tensors.update({name: torch.zeros(4, 64).to(dtype)}))
    with pytest.raises(AdapterRefused, match=rf"is made of {dtype}, and not of F32, F16, BF16, F64"):
        check_adapter(adapter, BASE_NAME, layers)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_weights_may_be_floating_point_numbers_of_any_common_width(adapter, layers, dtype):
    change_tensors(adapter, lambda tensors: tensors.update({name: one.to(dtype) for name, one in tensors.items()}))

    assert check_adapter(adapter, BASE_NAME, layers)


def test_infinite_numbers_are_refused(adapter, layers):
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    change_tensors(adapter, lambda tensors: tensors.update({name: torch.full((4, 64), float("inf"))}))
    with pytest.raises(AdapterRefused, match="finite"):
        check_adapter(adapter, BASE_NAME, layers)


def test_weights_that_are_gone_or_others_when_they_are_loaded_are_refused(adapter, layers):
    passed = check_adapter(adapter, BASE_NAME, layers)
    weights = adapter / "adapter_model.safetensors"
    for change in (lambda: weights.write_bytes(weights.read_bytes()[:-1] + b"x"), weights.unlink):
        change()
        with pytest.raises(AdapterRefused, match="changed while it was being loaded"):
            passed.tensors()


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
