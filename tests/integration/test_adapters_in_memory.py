"""Which adapters the engine holds in memory, and that holding them changes nobody else's answers."""

import time

import pytest

from adapters.model_server.adapter_folder import AdapterFolder
from adapters.model_server.engine import Engine, Limits
from adapters.model_server.errors import BadRequest
from adapters.model_server.jobs import ChatJob, Sampling
from adapters.model_server.model import ServedModel
from adapters.model_server.served_adapters import ServedAdapters
from tests.integration.model_servers import BASE_NAME, save_adapter

PROMPT = [1, 4093, 198, 6004, 2]


@pytest.fixture
def model(tiny_model):
    return ServedModel(tiny_model, BASE_NAME)


@pytest.fixture
def served(model, tiny_model, tmp_path):
    served = ServedAdapters(AdapterFolder(tmp_path, BASE_NAME, model.layers), BASE_NAME)
    for revision in (1, 2):
        name = f"team@{revision}"
        save_adapter(tiny_model, tmp_path / name, seed=revision)
        served.load(name, name)
    return served


def job(adapter=None):
    return ChatJob(PROMPT, adapter, Sampling(0, 1.0, seed=0), max_tokens=8)


def answer(engine, adapter=None):
    asked = job(adapter)
    engine.submit(asked)
    return asked.result.result(timeout=60).text


def test_adapters_beyond_the_limit_make_room_and_the_base_stays_as_it_was(model, served):
    first, second = served.adapters()
    engine = Engine(model, still_served=lambda: {first.key, second.key}, limits=Limits(loaded_adapters=1))
    engine.start()

    base = answer(engine)
    of_first = answer(engine, first)
    assert model.loaded == {first.key}
    of_second = answer(engine, second)
    assert model.loaded == {second.key}

    assert [answer(engine), answer(engine, first), answer(engine, second)] == [base, of_first, of_second]
    assert len({base, of_first, of_second}) == 3
    engine.stop()


def test_an_adapter_that_is_served_no_more_leaves_the_memory_when_the_engine_is_idle(model, served, monkeypatch):
    monkeypatch.setattr("adapters.model_server.engine.HOUSEKEEPING_SECONDS", 0.05)
    first, second = served.adapters()
    engine = Engine(model, still_served=lambda: {adapter.key for adapter in served.adapters()})
    engine.start()
    base = answer(engine)
    answer(engine, first)
    answer(engine, second)

    first.folder.rename(first.folder.with_name(".gone"))
    served.unload(second.name)

    deadline = time.monotonic() + 60
    while model.loaded:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert answer(engine) == base
    engine.stop()


def test_an_adapter_whose_files_changed_is_hidden_until_it_is_loaded_again_and_then_only_once(served):
    first, second = served.adapters()
    config = first.folder / "adapter_config.json"
    config.write_text(config.read_text() + "\n")
    assert served.adapters() == [second]

    again = served.load(first.name, first.name, sha256=first.sha256)

    assert (again.sha256, served.adapters()) == (first.sha256, [again, second])
    with pytest.raises(BadRequest, match="already been loaded"):
        served.load(first.name, first.name, sha256=first.sha256)


def test_an_engine_that_stops_fails_what_is_unfinished_and_takes_nothing_new(model):
    engine = Engine(model, still_served=set, limits=Limits(rows=1))
    engine.start()
    unfinished = [job(), job()]
    for asked in unfinished:
        asked.max_tokens = 2_000
        engine.submit(asked)

    engine.stop()

    assert all("stopping" in str(asked.result.exception(timeout=60)) for asked in unfinished)
    with pytest.raises(Exception, match="try again later"):
        engine.submit(job())


def test_a_full_queue_refuses(model):
    engine = Engine(model, still_served=set, limits=Limits(waiting=1))
    engine.submit(job())

    with pytest.raises(Exception, match="too many requests"):
        engine.submit(job())
