"""What the projectors' process does now and then."""

from __future__ import annotations

from adapters.sealing.sealer import Sealer
from tests.integration.gateway.conftest import Gateway


def seal(gateway: Gateway) -> None:
    """Seals all that there is."""
    settings = gateway.core.settings
    Sealer(gateway.core.engine, settings.seal_key, settings.seal_keyring).seal_all()
