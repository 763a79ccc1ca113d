"""Where models may be: at listed hosts, by the name that is written."""

from __future__ import annotations

import pytest

from domain.errors import Invalid
from domain.model_hosts import ModelHosts


@pytest.mark.parametrize(
    ("patterns", "url"),
    [
        ("", ""),
        ("127.0.0.1", "http://127.0.0.1:8000/v1"),
        ("localhost", "https://LocalHost./v1"),
        ("api.example.com:443", "https://api.example.com/v1"),
        ("api.example.com:8443", "https://api.example.com:8443/v1"),
        ("*.example.com", "https://eu.api.example.com/v1"),
        ("10.0.0.7, ::1", "http://[0:0:0:0:0:0:0:1]:8000/v1"),
        ("[fd00::7]:8000", "http://[FD00::7]:8000/v1"),
    ],
)
def test_a_listed_host_is_allowed_in_every_spelling(patterns: str, url: str) -> None:
    assert ModelHosts(patterns).allow(url or "http://x/v1") is bool(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://0.0.0.0/v1",
        "http://127.0.0.2/v1",
        "http://127.1/v1",
        "http://2130706433/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://localhost.evil.example/v1",
        "http://evil.example/localhost",
        "http://localhost:99999/v1",
        "http://[::1/v1",
        "http:///v1",
    ],
)
def test_by_default_nothing_but_this_machine_is_allowed(url: str) -> None:
    assert ModelHosts().allow("http://localhost:8000/v1")
    assert not ModelHosts().allow(url)


@pytest.mark.parametrize("url", ["https://example.com/v1", "https://badexample.com/v1", "https://api.example.com:1/v1"])
def test_a_suffix_means_what_is_below_it_and_a_port_that_port(url: str) -> None:
    assert not ModelHosts("*.example.com:443").allow(url)


@pytest.mark.parametrize("pattern", ["*", "http://x", "a.*.b", "x:y", "a b", "x/v1", "u@x"])
def test_what_is_no_host_is_refused_when_caravan_starts(pattern: str) -> None:
    with pytest.raises(Invalid, match="is no host: CARAVAN_MODEL_HOSTS takes"):
        ModelHosts(f"localhost,{pattern}")
