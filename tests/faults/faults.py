"""Every fault by its name: what happens to a stage. Each undoes what it did, as far as it would not heal by itself."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg.rows import scalar_row

from adapters.embedded.process import ManagedProcess
from tests.faults.stage import Stage
from tests.faults.victims import IDLE_SECONDS, Victim
from tests.trapping_proxy import APPENDED, Trap

TRAP_SECONDS = 60.0
"""Until the victim is where it is waited for: on a slow machine; it is there at once where there is much to do."""
HANG_SECONDS = 2.5 * IDLE_SECONDS

BEFORE_THE_LOCK, WITH_THE_LOCK = "LOCK TABLE stored_events", "LOCK TABLE event_salts"
"""What keeps a writer there: events come before their salts."""
WHOEVER = ""
CHECKPOINT = r"BEGIN; UPDATE \d+"
"""The projectors move theirs first; what else begins in their process begins with something else."""
ROWS = rf"{CHECKPOINT}(; SELECT \d+|; INSERT 0 \d+)*; INSERT 0 \d+"
BETWEEN_SAVES = "BEGIN; SAVEPOINT; CALL"
"""Of a group in which something was refused: the lock is held until the last one is done."""
RELAYED = "UPDATE 1"

Fault = Callable[[Stage], None]
T = TypeVar("T")


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


def killed_at(kind: str, replies: str) -> Fault:
    """With -9, between Postgres saying so and the victim hearing it."""

    def fault(stage: Stage) -> None:
        victim = stage.some(kind)
        _spring(victim, Trap(replies, then=victim.kill))
        _die_and_return(stage, victim)

    return fault


def killed_while_it_waits(kind: str, lock: str) -> Fault:
    """With -9, right before it would do what that lock keeps it from."""

    def fault(stage: Stage) -> None:
        with _held(stage, lock, kind) as victim:
            victim.kill()
        _die_and_return(stage, victim)

    return fault


def cut_at(kind: str, replies: str) -> Fault:
    """The transaction is committed, and the connection gone before anybody says so."""

    def fault(stage: Stage) -> None:
        _spring(stage.some(kind), Trap(replies))

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


def hangs_at(kind: str, replies: str) -> Fault:
    """SIGSTOP, between Postgres saying so and the victim hearing it."""

    def fault(stage: Stage) -> None:
        victim = stage.some(kind)
        _spring(victim, Trap(replies, then=victim.hang, cuts=False))
        time.sleep(HANG_SECONDS)
        victim.go_on()

    return fault


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
    "a writer is killed before it has the lock": killed_while_it_waits("writer-1", BEFORE_THE_LOCK),
    "whoever writes is killed with the lock": killed_while_it_waits(WHOEVER, WITH_THE_LOCK),
    "a writer is killed after its append": killed_at("writer-1", APPENDED),
    "a writer's connection is cut at its append": cut_at("writer-1", APPENDED),
    "a writer hangs with the lock": hangs_at("writer-1", BETWEEN_SAVES),
    "projectors are killed": killed("projectors"),
    "projectors are killed before their checkpoint": killed_while_it_waits("projectors", "LOCK TABLE checkpoints"),
    "projectors are killed after their checkpoint": killed_at("projectors", CHECKPOINT),
    "projectors are killed before their rows": killed_while_it_waits("projectors", "LOCK TABLE dpo_annotations"),
    "projectors are killed after their rows": killed_at("projectors", ROWS),
    "projectors are killed after their COMMIT": killed_at("projectors", f"{ROWS}; COMMIT"),
    "projectors' connection is cut at COMMIT": cut_at("projectors", f"{ROWS}; COMMIT"),
    "projectors hang": hangs("projectors"),
    "the relay is killed after it published": killed_while_it_waits("projectors", "LOCK TABLE relay"),
    "the relay is killed after its checkpoint": killed_at("projectors", RELAYED),
    "the gateway is killed": killed("gateway"),
    "the gateway is killed after its append": killed_at("gateway", APPENDED),
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


def _wait_for(condition: Callable[[], T | None]) -> T:
    """Returns it, once it is true. Raises Missed."""
    deadline = time.monotonic() + TRAP_SECONDS
    while not (met := condition()):
        if time.monotonic() > deadline:
            raise Missed
        time.sleep(0.005)
    return met


@contextmanager
def _held(stage: Stage, lock: str, kind: str) -> Iterator[Victim]:
    """Whoever of that kind waits for it first, for as long as it waits."""
    waiting = (
        "SELECT application_name FROM pg_stat_activity"
        " WHERE application_name LIKE %s || '%%' AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )
    with psycopg.connect(stage.database_url, row_factory=scalar_row) as holder:

        def look() -> str | None:
            holder.execute("SELECT pg_stat_clear_snapshot()")  # or a transaction sees for ever who was there at first
            return holder.execute(waiting, (kind,)).fetchone()

        holder.execute(f"{lock} IN EXCLUSIVE MODE")
        name = _wait_for(look)
        yield stage.victims[name]
