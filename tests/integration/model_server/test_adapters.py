"""Which adapters the model server lists, loads and unloads, and which it refuses."""

import openai
import pytest

from adapters.artifacts import sha256_of
from tests.integration.model_server.asking import ask
from tests.integration.model_servers import BASE_NAME, save_adapter


def test_base_and_adapters_are_listed(client):
    assert [model.id for model in client.models.list()] == [BASE_NAME, "team@1", "team@2"]
    assert client.models.retrieve("team@1").id == "team@1"


def test_an_adapter_is_served_when_it_is_loaded_and_no_more_when_it_is_unloaded(server, client, tiny_model):
    save_adapter(tiny_model, server.adapters / "late@1", seed=9)
    with pytest.raises(openai.NotFoundError):
        ask(client, "Hi", model="late@1")

    assert server.load("late@1").text == "Success: LoRA adapter 'late@1' added successfully."
    assert "late@1" in [model.id for model in client.models.list()]
    assert ask(client, "Hi", model="late@1").model == "late@1"

    assert server.unload("late@1").text == "Success: LoRA adapter 'late@1' removed successfully."
    assert "late@1" not in [model.id for model in client.models.list()]
    with pytest.raises(openai.NotFoundError):
        ask(client, "Hi", model="late@1")
    assert server.unload("late@1").status_code == 404


def test_models_are_listed_as_vllm_does_and_with_their_weights(server, client, tiny_model):
    base, adapter = client.models.retrieve(BASE_NAME), client.models.retrieve("team@1")

    assert (base.parent, base.root, base.sha256) == (None, BASE_NAME, sha256_of(tiny_model / "model.safetensors"))
    assert (adapter.parent, adapter.root) == (BASE_NAME, "team@1")
    assert adapter.sha256 == sha256_of(server.adapters / "team@1" / "adapter_model.safetensors")


def test_a_name_is_loaded_once_unless_in_place_and_with_the_weights_that_are_meant(server):
    assert "already been loaded" in server.load("team@1").json()["error"]["message"]
    assert server.load("team@1", load_inplace=True).is_success

    refused = server.load("team@2", sha256="0" * 64, load_inplace=True)

    assert refused.status_code == 400
    assert "and 000" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("team@1", "team@2"),
        ("team@1", "../team@1"),
        ("team@1", "/etc/team@1"),
        ("team@1", "team@1/.."),
        ("..", ".."),
        ("x/../team@1", "x/../team@1"),
        (BASE_NAME, BASE_NAME),
        ("nobody@1", "nobody@1"),
        (".team@1", ".team@1"),
        ("team@1\0", "team@1\0"),
    ],
)
def test_a_path_that_is_not_the_adapters_own_folder_is_refused(server, name, path):
    refused = server.post("load_lora_adapter", {"lora_name": name, "lora_path": path, "load_inplace": True})

    assert refused.status_code in (400, 404)
    assert refused.json()["error"]["message"]


def test_an_adapter_whose_files_changed_is_refused_until_it_is_loaded_anew(server, client, tiny_model):
    save_adapter(tiny_model, server.adapters / "changing@1", seed=10)
    server.load("changing@1")
    before = ask(client, "Hi", model="changing@1")

    save_adapter(tiny_model, server.adapters / "changing@1", seed=11)
    with pytest.raises(openai.BadRequestError, match="changed since it was loaded") as refused:
        ask(client, "Hi", model="changing@1")
    assert refused.value.code == "adapter_refused"
    assert "changing@1" not in [model.id for model in client.models.list()]

    server.load("changing@1", load_inplace=True)
    after = ask(client, "Hi", model="changing@1")

    assert before.system_fingerprint != after.system_fingerprint
    assert before.choices[0].message.content != after.choices[0].message.content
