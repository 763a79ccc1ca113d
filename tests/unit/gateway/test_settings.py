"""What a setting is called, and what is told to whoever calls it otherwise."""

from __future__ import annotations

import pytest

from gateway.settings import misspelt


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("CARAVAN_PROT", "CARAVAN_PORT"),
        ("CARAVAN_UIPORT", "CARAVAN_UI_PORT"),
        ("CARAVAN_CONCURENT_RUNS", "CARAVAN_CONCURRENT_RUNS"),
        ("CARAVAN_DATABASE_URL", "DATABASE_URL"),
        ("CARAVAN_NATS_URL", "NATS_URL"),
    ],
)
def test_a_misspelt_setting_is_told_with_the_one_that_was_meant(variable: str, setting: str) -> None:
    assert list(misspelt([variable])) == [(variable, setting)]


@pytest.mark.parametrize(
    "variable",
    ["CARAVAN_PORT", "CARAVAN_OTLP_ENDPOINT", "CARAVAN_MODEL_API_KEY", "CARAVAN_TEST_DATA", "DATABASE_URL", "PORT"],
)
def test_settings_and_what_is_somebodys_own_are_let_be(variable: str) -> None:
    assert list(misspelt([variable])) == []
