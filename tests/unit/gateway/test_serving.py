"""How long the gateway keeps connections."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette

from gateway.serving import server_of
from gateway.settings import Settings


def test_a_client_ends_an_idle_connection_before_the_gateway_does() -> None:
    """Else a request may meet the end of its connection: it fails, and nobody knows whether it was done."""
    ours = server_of(Starlette(), Settings()).config.timeout_keep_alive
    theirs = httpx.Limits().keepalive_expiry
    assert theirs is not None
    assert ours > 2 * theirs
