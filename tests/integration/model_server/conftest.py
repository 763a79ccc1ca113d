"""A model server with two adapters, and OpenAI's client, for all tests of this folder."""

import pytest
from openai import OpenAI

from adapters.model_server.server import build
from tests.integration.model_servers import API_KEY, BASE_NAME, save_adapter, serving


@pytest.fixture(scope="package")
def server(tiny_model, tmp_path_factory):
    adapters = tmp_path_factory.mktemp("adapters")
    for revision in (1, 2):
        save_adapter(tiny_model, adapters / f"team@{revision}", seed=revision)
    app = build(tiny_model, BASE_NAME, adapters, API_KEY)
    with serving(app, adapters) as running:
        yield running


@pytest.fixture(scope="package")
def client(server):
    return OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0)
