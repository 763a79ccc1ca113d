"""What a process is given to test at a time, where there are several (`pytest -n`): whole files, so that each module's
servers start once, and all that runs a whole Caravan, so that one runs at a time."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.scheduler.protocol import Scheduling

WHOLE_CARAVANS = ("tests/e2e/", "tests/faults/")


class Shares(LoadFileScheduling):
    """In the order of collection, in which what takes longest comes early."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return "whole Caravans" if nodeid.startswith(WHOLE_CARAVANS) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Called by pytest-xdist once, before the first test."""
    return Shares(config, log)
