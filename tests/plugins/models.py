"""Small models for tests, made when the first test asks for one."""

from pathlib import Path

import pytest

from tests.tiny_model import make_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random Llama of 3 million parameters with the embedded model's tokenizer."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny-llama")
