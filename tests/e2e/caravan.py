"""A whole Caravan, started as a user starts it: `caravan up` in a data folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx

from adapters.embedded.postgres import EmbeddedPostgres
from tests.tiny_model import make_tiny_model

ROOT = Path(__file__).parents[2]
BASE_MODEL = "smollm2-135m-instruct"
START_SECONDS = 180.0
STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunningCaravan:
    """Where its doors are, and an administrator's token."""

    home: Path
    artifacts: Path
    environment: dict[str, str]
    api_url: str
    console_url: str
    model_url: str
    token: str

    def api(self, token: str | None = None) -> httpx.Client:
        """A client with the administrator's token, or that one."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.api_url, headers=headers, timeout=30, trust_env=False)

    def new_token(self, name: str, role: str) -> str:
        """A token of another person."""
        token: str = _caravan(self.environment, "tokens", "create", name, "--role", role, "--json")["token"]
        return token


@contextmanager
def running_caravan(**given: str) -> Iterator[RunningCaravan]:
    """Every process on free ports, with a tiny random model in the embedded one's place: fast, and no less real.

    `given` are further environment variables, e.g. DATABASE_URL.
    """
    home = Path(mkdtemp(prefix="caravan-e2e-"))
    make_tiny_model(home / "models" / BASE_MODEL)
    api, ui, model, nats = _free_ports(4)
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "NATS_URL")},
        "CARAVAN_HOME": str(home),
        "CARAVAN_ARTIFACTS": str(home / "artifacts"),
        "CARAVAN_PORT": str(api),
        "CARAVAN_UI_PORT": str(ui),
        "CARAVAN_MODEL_PORT": str(model),
        "CARAVAN_NATS_PORT": str(nats),
        **given,
    }
    output = home / "up.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "up"],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until(lambda: _answers(f"http://127.0.0.1:{ui}/_stcore/health"), process, output)
        token = _caravan(environment, "tokens", "create", "e2e", "--role", "admin", "--json")["token"]
        urls = (f"http://127.0.0.1:{api}", f"http://127.0.0.1:{ui}", f"http://127.0.0.1:{model}/v1")
        caravan = RunningCaravan(home, home / "artifacts", environment, *urls, token)
        with caravan.api() as client:
            _wait_until(lambda: client.get("/health").is_success, process, output)
        yield caravan
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        finally:
            cluster = EmbeddedPostgres(home / "postgres", home / "logs" / "postgres.log").cluster.folder
            shutil.rmtree(cluster, ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)


def _caravan(environment: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _free_ports(count: int) -> list[int]:
    """Held open together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _wait_until(ready: Any, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        assert process.poll() is None, f"caravan up ended:\n{output.read_text()[-4000:]}"
        assert time.monotonic() < deadline, f"caravan up is not ready:\n{output.read_text()[-4000:]}"
        time.sleep(0.3)
