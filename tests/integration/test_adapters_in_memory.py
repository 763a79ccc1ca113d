"""Which adapters the engine holds in memory, and that holding them changes nobody else's answers."""

import time

import pytest

from adapters.model_server.adapter_folder import AdapterFolder
from adapters.model_server.engine import Engine, Limits
from adapters.model_server.jobs import ChatJob, Sampling
from adapters.model_server.model import ServedModel
from tests.integration.model_servers import BASE_NAME, save_adapter

PROMPT = [1, 4093, 198, 6004, 2]


@pytest.fixture
def model(tiny_model):
    return ServedModel(tiny_model, BASE_NAME)


@pytest.fixture
def folder(model, tiny_model, tmp_path):
    for revision in (1, 2):
        save_adapter(tiny_model, tmp_path / f"team@{revision}", seed=revision)
    return AdapterFolder(tmp_path, BASE_NAME, model.layers)


def job(adapter=None):
    return ChatJob(PROMPT, adapter, Sampling(0, 1.0, seed=0), max_tokens=8)


def answer(engine, adapter=None):
    asked = job(adapter)
    engine.submit(asked)
    return asked.result.result(timeout=20).text


def test_adapters_beyond_the_limit_make_room_and_the_base_stays_as_it_was(model, folder):
    first, second = folder.adapters()
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


def test_an_adapter_that_is_served_no_more_leaves_the_memory_when_the_engine_is_idle(model, folder, monkeypatch):
    monkeypatch.setattr("adapters.model_server.engine.HOUSEKEEPING_SECONDS", 0.05)
    first, second = folder.adapters()
    engine = Engine(model, still_served=lambda: {adapter.key for adapter in folder.adapters()})
    engine.start()
    base = answer(engine)
    answer(engine, first)
    answer(engine, second)

    first.folder.rename(first.folder.with_name(".retired"))
    second.folder.rename(second.folder.with_name(".retired-too"))

    deadline = time.monotonic() + 10
    while model.loaded:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert answer(engine) == base
    engine.stop()


def test_an_engine_that_stops_fails_what_is_unfinished_and_takes_nothing_new(model):
    engine = Engine(model, still_served=set, limits=Limits(rows=1))
    engine.start()
    unfinished = [job(), job()]
    for asked in unfinished:
        asked.max_tokens = 2_000
        engine.submit(asked)

    engine.stop()

    assert all("stopping" in str(asked.result.exception(timeout=1)) for asked in unfinished)
    with pytest.raises(Exception, match="try again later"):
        engine.submit(job())


def test_a_full_queue_refuses(model):
    engine = Engine(model, still_served=set, limits=Limits(waiting=1))
    engine.submit(job())

    with pytest.raises(Exception, match="too many requests"):
        engine.submit(job())
