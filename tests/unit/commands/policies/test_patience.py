"""Patience: an outage is outlived, a refusal is final."""

from __future__ import annotations

import pytest

from commands.policies import patience
from commands.policies.patience import patiently
from domain.errors import LeaseLost


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


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "DELAYS", (0.0, 0.0))


def test_an_outage_is_outlived() -> None:
    assert patiently(Shaky(2, ConnectionError())) == "done"


def test_an_outage_without_end_is_told() -> None:
    with pytest.raises(ConnectionError):
        patiently(Shaky(3, ConnectionError()))


def test_a_refusal_is_final() -> None:
    refusal = Shaky(1, LeaseLost("taken over"))
    with pytest.raises(LeaseLost):
        patiently(refusal)
    assert refusal.tries == 1
