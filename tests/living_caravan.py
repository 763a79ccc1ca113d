"""A whole Caravan, started as a user starts it: `caravan up` in a data folder and on ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import httpx
import psutil

from adapters.embedded import record
from adapters.embedded.keeper import State
from adapters.embedded.nats_server import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.record import Record
from adapters.embedded.tether import tethered
from tests.tiny_model import make_tiny_model

ROOT = Path(__file__).parents[1]
BASE_MODEL = "smollm2-135m-instruct"
ONE_THREAD = {"CARAVAN_MODEL_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""A tiny model gains nothing from a second thread, and on a busy machine threads wait for each other."""
START_SECONDS = 240.0
STOP_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class LivingCaravan:
    """Where its doors are, an administrator's token, and the environment in which its commands find it."""

    home: Path
    artifacts: Path
    environment: dict[str, str]
    api_url: str
    console_url: str
    model_url: str
    token: str

    @property
    def postgres(self) -> EmbeddedPostgres:
        """Its database server, unless it uses somebody else's."""
        return EmbeddedPostgres(self.home / "postgres", self.home / "logs" / "postgres.log")

    @property
    def nats(self) -> EmbeddedNats:
        """Its NATS server, unless it uses somebody else's."""
        return EmbeddedNats(self.home / "nats", self.home / "logs" / "nats.log", int(self.environment[NATS_PORT]))

    def api(self, token: str | None = None) -> httpx.Client:
        """A client with the administrator's token, or that one."""
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx.Client(base_url=self.api_url, headers=headers, timeout=30, trust_env=False)

    def new_token(self, name: str, role: str) -> str:
        """A token of another person."""
        token: str = json.loads(self.run("tokens", "create", name, "--role", role, "--json"))["token"]
        return token

    def run(self, *arguments: str) -> str:
        """What `caravan ARGUMENTS` prints. Raises CalledProcessError."""
        return caravan_prints(self.environment, *arguments)

    def processes(self) -> Record:
        """What its supervisor says of them."""
        running = record.read(self.home / "run")
        assert running is not None, "the supervisor is gone"
        return running

    def is_up(self) -> bool:
        """Whether every process runs, or has done its task."""
        return all(child.state in (State.RUNNING, State.DONE) for child in self.processes().children)

    def kill(self, name: str) -> None:
        """With -9, and waits until its supervisor has seen it."""
        self._end(name, signal.SIGKILL)

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """It is killed with -9, and back only after the block: until then its supervisor hangs."""
        running = self.processes()
        victim, supervisor = running.child(name).pid, psutil.Process(running.pid)
        assert victim is not None
        supervisor.suspend()
        try:
            os.kill(victim, signal.SIGKILL)
            yield
        finally:
            supervisor.resume()

    def restart(self, name: str) -> None:
        """As a deployment does, and waits until its supervisor has seen the end. To PostgreSQL, SIGTERM would mean to
        wait until all its clients are gone."""
        self._end(name, signal.SIGINT if name == "postgres" else signal.SIGTERM)

    def _end(self, name: str, how: signal.Signals) -> None:
        before = self.processes().child(name)
        assert before.pid is not None
        os.kill(before.pid, how)
        while self.processes().child(name) == before:
            time.sleep(0.05)


@contextmanager
def living_caravan(
    home: Path | None = None, prepare_model: Callable[[Path], object] = make_tiny_model, **given: str
) -> Iterator[LivingCaravan]:
    """Every process on free ports; stopped and removed at the end, and with the process that started it.

    A tiny random model stands in the embedded one's place, fast and no less real, unless `prepare_model` makes another.
    `given` are further environment variables, e.g. DATABASE_URL.
    """
    home = home or Path(mkdtemp(prefix="caravan-e2e-"))
    prepare_model(home / "models" / BASE_MODEL)
    environment = _environment(home) | given
    output = home / "up.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            tethered([sys.executable, "-m", "gateway.cli", "up"], signal.SIGTERM),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    api, ui, model = (f"http://127.0.0.1:{environment[name]}" for name in (API_PORT, UI_PORT, MODEL_PORT))
    try:
        _wait_until(lambda: _answers(f"{ui}/_stcore/health"), process, output)
        token = json.loads(caravan_prints(environment, "tokens", "create", "e2e", "--role", "admin", "--json"))["token"]
        caravan = LivingCaravan(home, home / "artifacts", environment, api, ui, f"{model}/v1", token)
        with caravan.api() as client:
            _wait_until(lambda: client.get("/health").is_success, process, output)
        yield caravan
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        finally:
            cluster = EmbeddedPostgres(home / "postgres", home / "logs" / "postgres.log").cluster.folder
            shutil.rmtree(cluster, ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)


API_PORT, UI_PORT, MODEL_PORT, NATS_PORT = (
    f"CARAVAN_{name}" for name in ("PORT", "UI_PORT", "MODEL_PORT", "NATS_PORT")
)


def caravan_prints(environment: dict[str, str], *arguments: str) -> str:
    """What `caravan ARGUMENTS` prints. Raises CalledProcessError."""
    command = [sys.executable, "-m", "gateway.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _environment(home: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "NATS_URL")}
    ports = dict(zip((API_PORT, UI_PORT, MODEL_PORT, NATS_PORT), map(str, _free_ports(4)), strict=True))
    folders = {"CARAVAN_HOME": str(home), "CARAVAN_ARTIFACTS": str(home / "artifacts")}
    return {**ours, **ports, **folders, **ONE_THREAD}


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


def _wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        assert process.poll() is None, f"caravan up ended:\n{output.read_text()[-4000:]}"
        assert time.monotonic() < deadline, f"caravan up is not ready:\n{output.read_text()[-4000:]}"
        time.sleep(0.3)
