"""A whole Caravan, as a person would start it: `caravan up` in a data folder and on ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.embedded import record
from adapters.embedded.keeper import State
from adapters.embedded.ports import free_port
from adapters.embedded.record import Record
from gateway.cli.client import Api
from gateway.settings import Settings
from gateway.stack import located

READY_SECONDS = 300.0
UP = (State.RUNNING, State.DONE)


@dataclass(frozen=True)
class LivingCaravan:
    """A running one. `environment` is what its commands need to find it."""

    settings: Settings
    environment: Mapping[str, str]

    @property
    def database_url(self) -> str:
        return str(located(self.settings).database_url)

    @property
    def console_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.ui_port}"

    def run(self, *arguments: str) -> str:
        """What `caravan ARGUMENTS` printed. Raises CalledProcessError when it fails."""
        command = [sys.executable, "-m", "gateway.cli", *arguments]
        done = subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def token(self, role: str, name: str | None = None, kind: str = "human") -> str:
        """A new token of that role."""
        name = name or f"{role}-{time.monotonic_ns():x}"
        return str(json.loads(self.run("tokens", "create", name, "--role", role, "--kind", kind, "--json"))["token"])

    def api(self, role: str) -> Api:
        """The API with a new token of that role."""
        return Api(self.settings.api_url, self.token(role))

    def status(self) -> Record:
        """What the supervisor says. Raises RuntimeError when it is gone."""
        running = record.read(self.settings.home.absolute() / "run")
        if running is None:
            raise RuntimeError("the supervisor is gone")
        return running

    def wait_until_caught_up(self, seconds: float = 60) -> None:
        """Until every read model is at the head of the log. Raises TimeoutError."""
        api, deadline = self.api("viewer"), time.monotonic() + seconds
        while any(item["lag"] for item in api.get("/v1/projections")["items"]):
            if time.monotonic() > deadline:
                raise TimeoutError("the read models do not catch up")
            time.sleep(0.2)


@contextmanager
def living_caravan(folder: Path, **settings: object) -> Iterator[LivingCaravan]:
    """Started afresh in `folder`, ready; stopped at the end. `settings` override those of the profile `dev`.

    The embedded model's files are taken from this checkout's own data folder where they are there, to save their
    conversion.
    """
    folder = folder.absolute()
    chosen = Settings(
        home=folder / "home",
        artifacts=folder / "artifacts",
        **{name: free_port() for name in ("port", "ui_port", "model_port", "nats_port")},  # type: ignore[arg-type]
        **settings,  # type: ignore[arg-type]
    )
    _borrow_model(Settings(), chosen)
    environment = _environment(chosen)
    log = folder / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "up"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        caravan = LivingCaravan(chosen, environment)
        try:
            _await_readiness(caravan, up, log)
            yield caravan
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)


def _await_readiness(caravan: LivingCaravan, up: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if up.poll() is not None:
            raise RuntimeError(f"`caravan up` ended:\n{log.read_text()}")
        running = record.read(caravan.settings.home / "run")
        if running and all(child.state in UP for child in running.children):
            return
        time.sleep(0.2)
    raise TimeoutError(f"`caravan up` was not ready after {READY_SECONDS:.0f} s:\n{log.read_text()}")


def _borrow_model(ours: Settings, theirs: Settings) -> None:
    theirs.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    source, target = ours.base_model_dir, theirs.base_model_dir
    if (source / "config.json").exists() and not target.exists():
        shutil.copytree(source, target)


def _environment(settings: Settings) -> dict[str, str]:
    names = ("home", "artifacts", "port", "ui_port", "model_port", "nats_port", "concurrent_runs")
    return {**os.environ, **{f"CARAVAN_{name.upper()}": str(getattr(settings, name)) for name in names}}
