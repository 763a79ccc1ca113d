"""Of one client's command and its repeats, one runs at a time."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from domain.errors import CommandReused, Invalid
from gateway.errors import InFlight
from gateway.in_flight import CommandsInFlight
from tests.fakes import an_envelope

SENT = an_envelope(uuid4(), b"body")


def test_a_repeat_waits_its_turn_and_another_body_is_refused() -> None:
    commands = CommandsInFlight()
    with commands.alone(SENT):
        with pytest.raises(InFlight, match="same Idempotency-Key"), commands.alone(SENT):
            pass
        with pytest.raises(CommandReused), commands.alone(replace(SENT, fingerprint=b"another")):
            pass
        with commands.alone(replace(SENT, command_id=uuid4())):
            pass
    with commands.alone(SENT):
        pass


def test_an_error_frees_the_key() -> None:
    commands = CommandsInFlight()
    with pytest.raises(Invalid), commands.alone(SENT):
        raise Invalid("no")
    with commands.alone(SENT):
        pass


def test_commands_without_a_clients_key_pass() -> None:
    commands = CommandsInFlight()
    unkeyed = an_envelope()
    with commands.alone(unkeyed), commands.alone(unkeyed):
        pass
