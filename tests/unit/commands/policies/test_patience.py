"""Patience: an outage is outlived, a refusal is final, and whoever is told to stop waits no longer."""

from __future__ import annotations

import time

import pytest

from commands.policies.patience import Patience, StoreUnavailable
from domain.errors import LeaseLost
from domain.ports.events import ConcurrentWrite
from tests.outages import patience


class Shaky:
    """Answers after so many failures."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.error = error
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self.failures:
            raise self.error
        return "done"


@pytest.mark.parametrize("error", [ConnectionError(), ConcurrentWrite()])
def test_an_outage_and_faster_writers_are_outlived(error: Exception) -> None:
    assert patience()(Shaky(3, error)) == "done"


def test_an_outage_without_end_is_told() -> None:
    with pytest.raises(StoreUnavailable, match="ConnectionError: no database"):
        patience()(Shaky(4, ConnectionError("no database")))


@pytest.mark.parametrize(
    "error", [LeaseLost("taken over"), TypeError("a bug"), UnicodeEncodeError("utf-8", "", 0, 0, "")]
)
def test_a_refusal_or_a_bug_is_final(error: Exception) -> None:
    broken = Shaky(1, error)
    with pytest.raises(type(error)):
        patience()(broken)
    assert broken.tries == 1


def test_who_is_told_to_stop_waits_no_longer() -> None:
    began = time.monotonic()
    told_to_stop = Patience((ConnectionError,), lambda: time.monotonic() > began + 0.1, delays=(60,) * 3)
    with pytest.raises(StoreUnavailable):
        told_to_stop(Shaky(9, ConnectionError()))
    assert time.monotonic() - began < 5
