"""Whether the parts around us work: each probe returns when its part does, and raises when it does not."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from sqlalchemy import Engine, text

Probe = Callable[[], None]

SECONDS = 2.0


def database(engine: Engine) -> Probe:
    """Postgres answers, and the event store's table is there."""

    def probe() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1 FROM stored_events LIMIT 1"))

    return probe


def nats(url: str) -> Probe:
    """Something that greets like a nats-server listens there."""
    address = urlsplit(url)

    def probe() -> None:
        with socket.create_connection((address.hostname or "127.0.0.1", address.port or 4222), SECONDS) as connection:
            connection.settimeout(SECONDS)
            if not connection.recv(5).startswith(b"INFO"):
                raise ConnectionError("what listens there is no nats-server")

    return probe


def http(url: str, key: str | None) -> Probe:
    """A GET with that bearer key answers with success."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}

    def probe() -> None:
        httpx.get(url, headers=headers, timeout=SECONDS, trust_env=False).raise_for_status()

    return probe


def writable(folder: Path) -> Probe:
    """A file can be written there, down to the disk."""

    def probe() -> None:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as file:
            file.write(b"caravan")
            file.flush()
            os.fsync(file.fileno())

    return probe
