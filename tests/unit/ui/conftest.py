from collections.abc import Iterator

import pytest

from tests.unit.ui.scripted_gateway import ScriptedGateway, scripted_gateway


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with scripted_gateway() as scripted:
        yield scripted
