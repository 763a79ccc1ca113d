"""Every fault by its name: what happens to a stage. Each undoes what it did, as far as it would not heal by itself."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from adapters.embedded.process import ManagedProcess
from tests.cut_at_commit import COMMIT, Trap
from tests.faults.stage import Stage
from tests.faults.victims import IDLE_SECONDS, Victim

TRAP_SECONDS = 5.0
HANG_SECONDS = 2.5 * IDLE_SECONDS

Fault = Callable[[Stage], None]


class Unavailable(Exception):
    """No small file system can be mounted here."""

    def __init__(self) -> None:
        super().__init__("a full disk needs a small one of its own: run it as root, where mounting is allowed")


class Missed(Exception):
    """The victim did not come to the point at which it was waited for."""


# --- processes killed at any time, and at named points


def killed(kind: str) -> Fault:
    """With -9, whatever it is at."""

    def fault(stage: Stage) -> None:
        _die_and_return(stage, stage.some(kind))

    return fault


def killed_at(kind: str, reply: bytes) -> Fault:
    """With -9, between Postgres saying so and the victim hearing it."""

    def fault(stage: Stage) -> None:
        victim = stage.some(kind)
        _spring(victim, Trap(reply, then=victim.kill))
        _die_and_return(stage, victim)

    return fault


def killed_while_it_waits(kind: str, lock: str) -> Fault:
    """With -9, right before it would do what that lock keeps it from."""

    def fault(stage: Stage) -> None:
        victim = stage.some(kind)
        with _held(stage, lock):
            victim.kill()
        _die_and_return(stage, victim)

    return fault


def cut_at_commit(kind: str) -> Fault:
    """The transaction is committed, and the connection gone before anybody says so."""

    def fault(stage: Stage) -> None:
        _spring(stage.some(kind), Trap())

    return fault


# --- processes that hang


def hangs(kind: str) -> Fault:
    """SIGSTOP, for longer than anybody waits for it."""

    def fault(stage: Stage) -> None:
        victim = stage.some(kind)
        victim.hang()
        time.sleep(HANG_SECONDS)
        victim.go_on()

    return fault


def hangs_with_the_lock(stage: Stage) -> None:
    """SIGSTOP of a writer that has just got the lock that all writers need."""
    victim = stage.some("writer-1")
    _spring(victim, Trap(b"LOCK TABLE", then=victim.hang, cuts=False))
    time.sleep(HANG_SECONDS)
    victim.go_on()


# --- Postgres


def postgres_killed(stage: Stage) -> None:
    """With -9: the postmaster alone, which leaves its processes behind, or all of them."""
    if stage.chance.random() < 0.5:
        _kill(stage.postgres)
    elif stage.postgres.pid:
        os.kill(stage.postgres.pid, signal.SIGKILL)
    _start_again(stage, stage.postgres)


def postgres_restarted(stage: Stage) -> None:
    """In order, but without waiting for its clients."""
    stage.postgres.end()
    _start_again(stage, stage.postgres)


def connections_lost(stage: Stage) -> None:
    """All of them, whatever they are at."""
    with psycopg.connect(stage.postgres.url(), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def postgres_disk_full(stage: Stage) -> None:
    """Nothing can be written for a while. New segments of the log are asked for, so that this is noticed."""
    if stage.servers.postgres_disk is None:
        raise Unavailable
    stage.servers.postgres_disk.fill()
    deadline = time.monotonic() + HANG_SECONDS
    while time.monotonic() < deadline:
        try:
            with psycopg.connect(stage.postgres.url(), autocommit=True) as admin:
                admin.execute("SELECT pg_switch_wal()")
        except psycopg.Error:
            time.sleep(0.1)
        time.sleep(0.05)
    stage.servers.postgres_disk.make_room()
    if stage.postgres.exit_code() is not None or not stage.postgres.is_ready():
        _start_again(stage, stage.postgres)


# --- NATS


def nats_killed(stage: Stage) -> None:
    """With -9."""
    _kill(stage.nats)
    _start_again(stage, stage.nats)


def nats_wiped(stage: Stage) -> None:
    """It comes back without stream and consumers."""
    _kill(stage.nats)
    shutil.rmtree(stage.nats.folder / "jetstream")
    _start_again(stage, stage.nats)


def nats_restored(stage: Stage) -> None:
    """It comes back with what it had a while ago, as from a backup."""
    store, copy = stage.nats.folder / "jetstream", stage.nats.folder / "backup"
    _kill(stage.nats)
    shutil.copytree(store, copy)
    stage.nats.start()
    time.sleep(stage.chance.uniform(0.5, 1.5))
    _kill(stage.nats)
    shutil.rmtree(store)
    copy.rename(store)
    _start_again(stage, stage.nats)


def nats_disk_full(stage: Stage) -> None:
    """Nothing can be written for a while. A stream that could not write once takes nothing more."""
    if stage.servers.nats_disk is None:
        raise Unavailable
    stage.servers.nats_disk.fill()
    time.sleep(HANG_SECONDS)
    stage.servers.nats_disk.make_room()


FAULTS: dict[str, Fault] = {
    "a writer is killed": killed("writer"),
    "a writer is killed before it has the lock": killed_while_it_waits("writer-1", "LOCK TABLE stored_events"),
    "a writer is killed with the lock": killed_at("writer-1", b"LOCK TABLE"),
    "a writer is killed after its INSERT": killed_at("writer-1", b"INSERT 0 "),
    "a writer is killed after its COMMIT": killed_at("writer-1", COMMIT),
    "a writer's connection is cut at COMMIT": cut_at_commit("writer-1"),
    "a writer hangs with the lock": hangs_with_the_lock,
    "projectors are killed": killed("projectors"),
    "projectors are killed before they write": killed_while_it_waits("projectors", "LOCK TABLE dpo_annotations"),
    "projectors are killed after their rows": killed_at("projectors", b"INSERT 0 "),
    "projectors are killed after their checkpoint": killed_at("projectors", b"UPDATE 1\0"),
    "projectors are killed after their COMMIT": killed_at("projectors", COMMIT),
    "projectors' connection is cut at COMMIT": cut_at_commit("projectors"),
    "projectors hang": hangs("projectors"),
    "the relay is killed after it published": killed_while_it_waits("projectors", "LOCK TABLE relay"),
    "the gateway is killed": killed("gateway"),
    "the gateway is killed after its COMMIT": killed_at("gateway", COMMIT),
    "Postgres is killed": postgres_killed,
    "Postgres is restarted": postgres_restarted,
    "all connections are lost": connections_lost,
    "Postgres' disk is full": postgres_disk_full,
    "NATS is killed": nats_killed,
    "NATS is wiped": nats_wiped,
    "NATS is restored from an old copy": nats_restored,
    "NATS' disk is full": nats_disk_full,
}


def _die_and_return(stage: Stage, victim: Victim) -> None:
    victim.kill()
    time.sleep(stage.chance.uniform(0, 1))
    victim.start()


def _kill(server: ManagedProcess) -> None:
    server.kill()
    server.end()


def _start_again(stage: Stage, server: ManagedProcess) -> None:
    _kill(server)
    time.sleep(stage.chance.uniform(0, 1.5))
    server.start()


def _spring(victim: Victim, trap: Trap) -> None:
    victim.proxy.arm(trap)
    try:
        _wait_for(lambda: not victim.proxy.is_armed)
    finally:
        victim.proxy.disarm()


def _wait_for(condition: Callable[[], bool]) -> None:
    """Raises Missed."""
    deadline = time.monotonic() + TRAP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Missed
        time.sleep(0.005)


@contextmanager
def _held(stage: Stage, lock: str) -> Iterator[None]:
    """Once somebody waits for it."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(stage.database_url) as holder:
        holder.execute(f"{lock} IN EXCLUSIVE MODE")
        _wait_for(lambda: (holder.execute(waiting).fetchone() or (0,))[0] > 0)
        yield
