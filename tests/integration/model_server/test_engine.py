"""The thread that owns the model outlives what fails in it, or ends the process."""

import threading
from dataclasses import replace

import httpx
import pytest

from adapters.model_server import engine as engine_module
from adapters.model_server.adapter_check import check_adapter
from adapters.model_server.adapter_folder import AdapterFolder
from adapters.model_server.app import create_app
from adapters.model_server.engine import Engine
from adapters.model_server.jobs import ChatJob, Sampling, ScoreJob
from adapters.model_server.model import ServedModel
from adapters.model_server.served_adapters import ServedAdapters
from tests.integration.model_servers import API_KEY, BASE_NAME, save_adapter, serving
from tests.integration.processes import eventually

GREEDY = Sampling(temperature=0, top_p=1, seed=0)


@pytest.fixture(scope="module")
def model(tiny_model):
    return ServedModel(tiny_model, BASE_NAME)


@pytest.fixture
def adapter(tiny_model, model, tmp_path):
    return check_adapter(save_adapter(tiny_model, tmp_path / "team@1", seed=1), BASE_NAME, model.layers)


@pytest.fixture
def engine(model):
    engine = Engine(model, still_served=set)
    engine.start()
    yield engine
    engine.stop()
    for key in model.loaded:
        model.unload(key)


def a_chat(adapter=None):
    return ChatJob([1, 2, 3], adapter, sampling=GREEDY, max_tokens=2)


def a_score(adapter=None):
    return ScoreJob([1, 2, 3], adapter, [4, 5], [True, True])


def end_of(engine, job):
    engine.submit(job)
    return job.result.exception(timeout=60)


@pytest.mark.parametrize("job", [a_chat, a_score])
def test_an_adapter_that_cannot_be_loaded_fails_its_own_jobs_only(engine, model, adapter, monkeypatch, job):
    def fail(*_args, **_kwargs):
        raise MemoryError("no room for the tensors")

    with monkeypatch.context() as patch:
        patch.setattr("adapters.model_server.model.set_peft_model_state_dict", fail)
        assert isinstance(end_of(engine, job(adapter)), MemoryError)
    assert adapter.key not in model.loaded, "an adapter without weights must not answer"

    assert end_of(engine, job()) is None
    assert end_of(engine, job(adapter)) is None


def test_an_adapter_whose_folder_vanished_fails_its_own_jobs_only(engine, adapter, tmp_path):
    assert end_of(engine, a_chat(replace(adapter, folder=tmp_path / "gone", key="gone"))) is not None

    assert end_of(engine, a_chat()) is None


def test_a_folder_that_cannot_be_looked_through_stops_nothing(model, monkeypatch):
    looked = threading.Event()

    def vanished():
        looked.set()
        raise FileNotFoundError("the folder went away meanwhile")

    monkeypatch.setattr(engine_module, "HOUSEKEEPING_SECONDS", 0.01)
    engine = Engine(model, still_served=vanished)
    engine.start()
    assert looked.wait(30)
    assert end_of(engine, a_chat()) is None
    engine.stop()


def test_an_engine_that_cannot_go_on_ends_the_process_and_is_not_live(model, tmp_path, monkeypatch):
    exits = []
    monkeypatch.setattr("os._exit", exits.append)
    engine = Engine(model, still_served=set)
    adapters = ServedAdapters(AdapterFolder(tmp_path, BASE_NAME, model.layers), BASE_NAME)
    app = create_app(model, adapters, engine, API_KEY)
    with serving(app, tmp_path) as server:
        assert httpx.get(f"{server.url}/health/live").json() == {"status": "ok"}

        engine.submit(replace(a_chat(), prompt=None))

        eventually(lambda: exits == [engine_module.EXIT_CODE] and not engine.alive)
        assert httpx.get(f"{server.url}/health/live").status_code == 503
