"""What a replica must do, whichever server is behind it: our own with a tiny model, or vLLM's documented API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters.adapter_files import AdapterFiles
from adapters.artifacts import ADAPTER_WEIGHTS
from adapters.model_server.server import build
from adapters.replicas.embedded import EmbeddedReplica
from adapters.replicas.local_files import LocalFiles
from adapters.replicas.lora_api import LoraApi
from adapters.replicas.vllm import VllmReplica
from domain.lora_weights import LoraForm, Weights
from domain.serving import OTHER_WEIGHTS, Listing, NotLoaded, Replica, ReplicaAway, plan
from tests.fake_vllm import FakeVllm
from tests.integration.model_servers import API_KEY, BASE_NAME, RunningServer, save_adapter, serving

ROOT = "/mnt/adapters"
UNKNOWN = Weights("0" * 64, LoraForm(4, 64, frozenset({"q_proj"})))
Open = Callable[..., Replica]


@dataclass(frozen=True)
class Adapters:
    """The adapters' folder, with the weights of each."""

    folder: Path

    def weights(self, name: str) -> Weights:
        found = AdapterFiles(self.folder).weights(name)
        assert found
        return found


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapters:
    folder = tmp_path_factory.mktemp("adapters")
    for revision in (1, 2):
        save_adapter(tiny_model, folder / f"team@{revision}", seed=revision)
    hostile = save_adapter(tiny_model, folder / "evil@1", seed=3)
    (hostile / "adapter_model.bin").write_bytes(b"\x80\x04N.")
    return Adapters(folder)


@pytest.fixture(scope="module")
def server(tiny_model: Path, adapters: Adapters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """It begins with an empty folder, so that it serves nothing."""
    folder = tmp_path_factory.mktemp("served") / "adapters"
    with serving(build(tiny_model, BASE_NAME, folder, API_KEY), folder) as running:
        folder.symlink_to(adapters.folder)
        yield running


@pytest.fixture
def vllm(adapters: Adapters) -> FakeVllm:
    return FakeVllm(BASE_NAME, files=[f"{ROOT}/{name}" for name in ("team@1", "team@2", "evil@1")], key=API_KEY)


@pytest.fixture(scope="module")
def files(tiny_model: Path, adapters: Adapters) -> LocalFiles:
    return LocalFiles(adapters.folder, tiny_model, BASE_NAME)


@pytest.fixture(params=["embedded", "vllm"])
async def open_replica(
    request: pytest.FixtureRequest, server: RunningServer, vllm: FakeVllm, files: LocalFiles
) -> AsyncIterator[Open]:
    apis: list[LoraApi] = []

    def open_with(key: str = API_KEY, base: str = BASE_NAME) -> Replica:
        if request.param == "embedded":
            apis.append(LoraApi(f"{server.url}/v1", key))
            return EmbeddedReplica(apis[-1], base)
        apis.append(LoraApi("http://vllm/v1", key, httpx.ASGITransport(vllm.app())))
        return VllmReplica(apis[-1], base, ROOT, files.check)

    yield open_with
    for name in ("team@1", "team@2") if request.param == "embedded" else ():
        server.unload(name)
    for api in apis:
        await api.close()


@pytest.fixture
def replica(open_replica: Open) -> Replica:
    return open_replica()


async def test_a_fresh_one_serves_its_base_model_alone(replica: Replica) -> None:
    assert await replica.listing() == Listing(frozenset({BASE_NAME}), {})


async def test_what_was_loaded_is_listed_until_it_is_unloaded(replica: Replica, adapters: Adapters) -> None:
    for name in ("team@1", "team@2"):
        await replica.load(name, adapters.weights(name))
    assert (await replica.listing()).adapters.keys() == {"team@1", "team@2"}

    await replica.unload("team@1")
    assert (await replica.listing()).adapters.keys() == {"team@2"}


async def test_the_plan_is_done_in_one_go(replica: Replica, adapters: Adapters) -> None:
    await replica.load("team@1", adapters.weights("team@1"))
    wanted = {"team@2": adapters.weights("team@2")}
    steps = plan(wanted, await replica.listing())

    for name in steps.unload:
        await replica.unload(name)
    for name in steps.load:
        await replica.load(name, wanted[name])

    assert not plan(wanted, await replica.listing())


async def test_to_unload_what_is_not_there_is_no_error(replica: Replica) -> None:
    await replica.unload("team@1")


async def test_a_name_that_is_taken_is_refused(replica: Replica, adapters: Adapters) -> None:
    await replica.load("team@1", adapters.weights("team@1"))
    with pytest.raises(NotLoaded, match="already been loaded"):
        await replica.load("team@1", adapters.weights("team@1"))


async def test_a_hostile_adapter_is_refused_with_the_reason_and_served_by_nobody(
    replica: Replica, adapters: Adapters, vllm: FakeVllm
) -> None:
    with pytest.raises(NotLoaded, match=r"'evil@1' is refused: adapter_model.bin does not belong"):
        await replica.load("evil@1", adapters.weights("evil@1"))
    assert not (await replica.listing()).adapters
    assert not vllm.requests, "what is hostile is not even named to a server that would load it"


@pytest.mark.parametrize("name", ["nobody@1", "../team@1", "/etc", ""])
async def test_what_is_not_there_is_refused(replica: Replica, name: str) -> None:
    with pytest.raises(NotLoaded, match=r"there is no adapter|is not the folder of that name|at least 1 character"):
        await replica.load(name, UNKNOWN)


async def test_other_weights_than_the_registered_ones_are_refused(replica: Replica, adapters: Adapters) -> None:
    with pytest.raises(NotLoaded, match="the sha256 of its weights is"):
        await replica.load("team@1", replace(adapters.weights("team@1"), sha256="0" * 64))


@pytest.mark.parametrize(
    ("option", "value", "refusal"),
    [
        ("r", 8, "r 4, and 8 was"),
        ("lora_alpha", 4, "lora_alpha 64, and 4 was"),
        ("use_rslora", True, "use_rslora False, and True was"),
        ("target_modules", frozenset({"q_proj"}), "target_modules down_proj, q_proj, v_proj, and q_proj was"),
    ],
)
async def test_the_registered_weights_are_refused_where_they_act_otherwise(
    replica: Replica, adapters: Adapters, vllm: FakeVllm, option: str, value: object, refusal: str
) -> None:
    """What is trained and evaluated as alpha 4 is something else with alpha 1,024: the same bytes, other answers."""
    found = adapters.weights("team@1")
    registered = replace(found, form=replace(found.form, **{option: value}))
    with pytest.raises(NotLoaded, match=f"'team@1' is refused: adapter_config.json has {refusal} registered"):
        await replica.load("team@1", registered)
    assert not (await replica.listing()).adapters
    assert not vllm.requests


async def test_adapter_files_that_are_changed_under_a_server_are_not_loaded_again(
    replica: Replica, adapters: Adapters
) -> None:
    wanted = {"team@1": adapters.weights("team@1")}
    await replica.load("team@1", wanted["team@1"])
    config = adapters.folder / "team@1" / "adapter_config.json"
    before = config.read_text()
    config.write_text(json.dumps(json.loads(before) | {"lora_alpha": 1_024, "use_rslora": True}))
    try:
        await replica.unload("team@1")  # as after a restart
        with pytest.raises(NotLoaded, match="lora_alpha 1024, and 64 was registered"):
            await replica.load("team@1", wanted["team@1"])
        assert plan(wanted, await replica.listing()).load == ("team@1",), "it is missed until its files are put back"
    finally:
        config.write_text(before)
    await replica.load("team@1", wanted["team@1"])


async def test_weights_of_a_type_that_nobody_computes_in_are_refused(
    replica: Replica, adapters: Adapters, tiny_model: Path
) -> None:
    folder = save_adapter(tiny_model, adapters.folder / "narrow@1", seed=4)
    tensors = load_file(folder / ADAPTER_WEIGHTS)
    save_file({name: one.to(torch.float8_e4m3fn) for name, one in tensors.items()}, folder / ADAPTER_WEIGHTS)
    with pytest.raises(NotLoaded, match=r"is made of torch\.float8_e4m3fn, and not of F32, F16, BF16, F64"):
        await replica.load("narrow@1", adapters.weights("narrow@1"))


async def test_a_wrong_key_says_what_to_mend(open_replica: Open) -> None:
    with pytest.raises(ReplicaAway, match="key_env"):
        await open_replica(key="guessed").listing()


async def test_a_server_of_another_base_model_is_left_alone(open_replica: Open) -> None:
    with pytest.raises(ReplicaAway, match=f"serves {BASE_NAME}, and no other-base"):
        await open_replica(base="other-base").listing()


async def test_nobody_there_is_told_as_such() -> None:
    api = LoraApi("http://127.0.0.1:9/v1", None)
    with pytest.raises(ReplicaAway, match="is it up"):
        await EmbeddedReplica(api, BASE_NAME).listing()
    await api.close()


async def test_our_own_server_says_which_weights_it_serves(server: RunningServer, adapters: Adapters) -> None:
    server.load("team@1")
    api = LoraApi(f"{server.url}/v1", API_KEY)
    assert (await EmbeddedReplica(api, BASE_NAME).listing()).adapters == {"team@1": adapters.weights("team@1")}
    await api.close()
    server.unload("team@1")


# vLLM alone


@pytest.mark.parametrize("file", ["tokenizer_config.json", "chat_template.jinja", "new_embeddings.safetensors"])
async def test_files_that_vllm_would_read_beside_the_adapter_are_refused(
    tiny_model: Path, tmp_path: Path, file: str
) -> None:
    folder = save_adapter(tiny_model, tmp_path / "team@1", seed=1)
    (folder / file).write_text("{}")
    with pytest.raises(NotLoaded, match=file):
        LocalFiles(tmp_path, tiny_model, BASE_NAME).check("team@1", Adapters(tmp_path).weights("team@1"))


@pytest.fixture
async def on_vllm(vllm: FakeVllm, files: LocalFiles) -> AsyncIterator[VllmReplica]:
    api = LoraApi("http://vllm/v1", API_KEY, httpx.ASGITransport(vllm.app()))
    yield VllmReplica(api, BASE_NAME, f"{ROOT}/", files.check)
    await api.close()


async def test_vllm_is_asked_as_its_documentation_says(
    on_vllm: VllmReplica, vllm: FakeVllm, adapters: Adapters
) -> None:
    await on_vllm.load("team@1", adapters.weights("team@1"))
    await on_vllm.unload("team@1")

    assert vllm.requests == [
        ("load", {"lora_name": "team@1", "lora_path": "/mnt/adapters/team@1"}),
        ("unload", {"lora_name": "team@1"}),
    ]


async def test_vllm_cannot_tell_its_weights_but_what_it_has_from_elsewhere_is_wrong(
    on_vllm: VllmReplica, vllm: FakeVllm
) -> None:
    vllm.loaded = {"team@1": f"{ROOT}/team@1", "team@2": "/somebody/elses"}

    assert (await on_vllm.listing()).adapters == {"team@1": None, "team@2": OTHER_WEIGHTS}


@pytest.mark.parametrize("flat", [False, True])
async def test_what_vllm_says_is_passed_on(
    on_vllm: VllmReplica, vllm: FakeVllm, adapters: Adapters, flat: bool
) -> None:
    vllm.flat_errors = flat
    vllm.breaks = {"team@1": "LoRA rank 64 is greater than max_lora_rank 16."}
    with pytest.raises(NotLoaded, match="greater than max_lora_rank 16"):
        await on_vllm.load("team@1", adapters.weights("team@1"))

    vllm.files = ()
    with pytest.raises(NotLoaded, match="No adapter found for /mnt/adapters/team@2"):
        await on_vllm.load("team@2", adapters.weights("team@2"))
    await on_vllm.unload("team@2")


async def test_a_vllm_that_may_not_load_at_run_time_is_told_how_to(files: LocalFiles, adapters: Adapters) -> None:
    vllm = FakeVllm(BASE_NAME, updating=False)
    api = LoraApi("http://vllm/v1", None, httpx.ASGITransport(vllm.app()))
    with pytest.raises(NotLoaded, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        await VllmReplica(api, BASE_NAME, ROOT, files.check).load("team@1", adapters.weights("team@1"))
    await api.close()


async def test_without_the_base_models_config_nothing_is_loaded_unchecked(tmp_path: Path) -> None:
    with pytest.raises(NotLoaded, match=r"put its config\.json into"):
        LocalFiles(tmp_path, tmp_path / "models" / BASE_NAME, BASE_NAME).check("team@1", UNKNOWN)


@pytest.mark.parametrize("config", ["{", '{"model_type": "unheard-of"}'])
async def test_a_base_model_that_cannot_be_understood_is_told_as_such(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(NotLoaded, match=f"adapters for {BASE_NAME} cannot be checked: "):
        LocalFiles(tmp_path, tmp_path, BASE_NAME).check("team@1", UNKNOWN)


async def test_an_adapter_of_other_weights_of_the_base_model_is_refused_where_these_are_there(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = save_adapter(tiny_model, tmp_path / "adapters" / "team@1", seed=1)
    weights = Adapters(folder.parent).weights("team@1")
    (folder / "passport.json").write_text(json.dumps({"sha256": weights.sha256, "base_sha256": "c" * 64}))
    with pytest.raises(NotLoaded, match="trained on other weights of the base model"):
        LocalFiles(folder.parent, tiny_model, BASE_NAME).check("team@1", weights)

    (tmp_path / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    LocalFiles(folder.parent, tmp_path, BASE_NAME).check("team@1", weights)
