"""The supervisor keeps processes running whichever of them is killed, and leaves none behind."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import nats as nats_client
import psycopg
import pytest

from adapters.backoff import Backoff
from adapters.embedded import record
from adapters.embedded.errors import FolderInUse, PortTaken, ProcessFailed
from adapters.embedded.keeper import State, Status
from adapters.embedded.log_archive import LogArchive
from adapters.embedded.nats_server import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.process import Child, ManagedProcess
from adapters.embedded.record import Record
from adapters.embedded.supervisor import Supervisor
from tests.integration.processes import eventually, kill_9, lives

SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(mkdtemp(prefix="caravan-test-"))
    yield folder
    link = folder / "postgres" / "cluster"
    if link.is_symlink():
        shutil.rmtree(link.readlink())
    shutil.rmtree(folder)


def python(folder: Path, name: str, code: str, **options: object) -> Child:
    log = folder / "logs" / f"{name}.log"
    return Child(name, [sys.executable, "-c", code], env=os.environ, log=log, **options)


def supervisor(folder: Path, *processes: ManagedProcess) -> Supervisor:
    return Supervisor(processes, folder / "run", backoff=lambda: Backoff(first=0.1), tick=0.02)


def child(folder: Path, name: str) -> Status:
    found = record.read(folder / "run")
    assert found is not None
    return found.child(name)


def ran_again(folder: Path, before: Status) -> bool:
    now = child(folder, before.name)
    return now.state is State.RUNNING and now.pid != before.pid


def running(folder: Path) -> Record | None:
    found = record.read(folder / "run")
    return found if found and all(one.state is State.RUNNING for one in found.children) else None


def in_a_process_of_its_own(folder: Path) -> subprocess.Popen[bytes]:
    started = subprocess.Popen([sys.executable, "-m", "tests.integration.supervised", str(folder)])
    eventually(lambda: running(folder))
    return started


def test_each_process_starts_when_the_one_before_it_is_ready(folder: Path):
    flag = folder / "flag"
    first = python(
        folder, "first", f"import time; time.sleep(0.3); open({str(flag)!r}, 'w'); {SLEEP}", ready=flag.exists
    )
    second = python(folder, "second", f"assert __import__('os').path.exists({str(flag)!r}); {SLEEP}")
    with supervisor(folder, first, second).in_background() as running:
        assert [(status.name, status.state) for status in running.status()] == [
            ("first", State.RUNNING),
            ("second", State.RUNNING),
        ]


def test_a_task_has_to_end_well_before_what_follows_starts(folder: Path):
    task = python(folder, "migrate", f"open({str(folder / 'migrated')!r}, 'w')", restart=False)
    service = python(folder, "gateway", f"open({str(folder / 'migrated')!r}); {SLEEP}")
    with supervisor(folder, task, service).in_background() as running:
        assert [status.state for status in running.status()] == [State.DONE, State.RUNNING]


def test_a_task_that_fails_stops_everything_and_says_what_it_wrote(folder: Path):
    service = python(folder, "postgres", SLEEP)
    task = python(folder, "migrate", "raise SystemExit('the schema is from the future')", restart=False)
    with (
        pytest.raises(ProcessFailed, match=r"exit code 1\.(.*)\nthe schema is from the future"),
        supervisor(folder, service, task).in_background(),
    ):
        pass
    assert service.pid is None


def test_a_process_that_never_becomes_ready_fails_for_good_after_some_tries(folder: Path):
    tries = folder / "tries"
    failing = f"open({str(tries)!r}, 'a').write('x'); raise SystemExit('port 8000 is taken')"
    broken = python(folder, "gateway", failing, ready=lambda: False)
    with pytest.raises(ProcessFailed, match="port 8000 is taken"), supervisor(folder, broken).in_background():
        pass
    assert tries.read_text() == "xxx"


def test_a_child_killed_9_runs_again_and_the_others_never_notice(folder: Path):
    with supervisor(folder, python(folder, "worker", SLEEP), python(folder, "ui", SLEEP)).in_background():
        worker, ui = child(folder, "worker"), child(folder, "ui")
        kill_9(worker.pid)
        eventually(lambda: ran_again(folder, worker))
        assert child(folder, "worker").restarts == 1
        assert "SIGKILL" in (child(folder, "worker").failure or "")
        assert child(folder, "ui") == ui


def test_what_a_killed_child_started_itself_ends_too(folder: Path):
    note = folder / "grandchild"
    spawning = (
        f"import subprocess; open({str(note)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid)); {SLEEP}"
    )
    with supervisor(folder, python(folder, "trainer", spawning)).in_background():
        eventually(lambda: note.exists() and note.read_text())
        grandchild = int(note.read_text())
        kill_9(child(folder, "trainer").pid)
        eventually(lambda: not lives(grandchild))


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(folder: Path):
    ready = folder / "ready"
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(ready)!r}, 'w'); {SLEEP}"
    stubborn = python(folder, "stubborn", deaf, ready=ready.exists, grace=0.3)
    with supervisor(folder, stubborn).in_background():
        pid = stubborn.pid
    assert pid is not None
    assert not lives(pid)
    assert stubborn.exit_code() == -signal.SIGKILL


def test_a_second_ctrl_c_kills_what_does_not_stop(folder: Path):
    stubborn = (
        "import os, signal, sys; from pathlib import Path;"
        "from adapters.embedded.process import Child; from adapters.embedded.supervisor import Supervisor;"
        "folder = Path(sys.argv[1]);"
        "deaf = ['sh', '-c', 'trap : TERM; echo deaf; while :; do sleep 1; done'];"
        "log = folder / 'logs' / 'deaf.log';"
        "child = Child('deaf', deaf, env=os.environ, log=log, grace=600, ready=lambda: 'deaf' in log.read_text());"
        "Supervisor([child], folder / 'run').run()"
    )
    started = subprocess.Popen([sys.executable, "-c", stubborn, str(folder)])
    eventually(lambda: running(folder))
    deaf = child(folder, "deaf").pid
    assert deaf is not None
    started.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        started.wait(1)
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 0
    assert not lives(deaf)


def test_a_command_that_is_not_there_is_named(folder: Path):
    missing = Child("ui", ["caravan-has-no-such-program"], env=os.environ, log=folder / "ui.log", ready=lambda: False)
    with pytest.raises(ProcessFailed, match="cannot run caravan-has-no-such-program"), missing:
        pass


def test_children_stop_in_the_reverse_order_of_their_start(folder: Path):
    told: list[str] = []
    processes = [python(folder, name, SLEEP) for name in ("one", "two", "three")]
    with Supervisor(
        processes,
        folder / "run",
        observer=lambda status: told.append(f"{status.name} {status.state}"),
    ).in_background():
        told.clear()
    assert told == ["three stopped", "two stopped", "one stopped"]


def test_an_observer_that_fails_stops_nothing(folder: Path):
    def observer(status: Status) -> None:
        raise ConnectionError("the terminal is gone")

    with Supervisor([python(folder, "worker", SLEEP)], folder / "run", observer=observer).in_background():
        assert child(folder, "worker").state is State.RUNNING


def test_a_second_supervisor_is_refused_and_told_who_the_first_is(folder: Path):
    with supervisor(folder, python(folder, "worker", SLEEP)).in_background():
        with pytest.raises(FolderInUse) as refused, supervisor(folder).in_background():
            pass
        assert refused.value.pid == os.getpid()
        assert child(folder, "worker").state is State.RUNNING


TALK = """
import os, time
for n in range(100):
    print(n, "x" * 90, flush=True)
    while os.fstat(1).st_size > 2000:
        time.sleep(0.01)
"""


def test_logs_are_archived_while_their_processes_write_to_them(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("adapters.embedded.supervisor.LOG_SECONDS", 0.02)
    archive = LogArchive(folder / "logs" / "archive", largest=2000)
    talker = python(folder, "talker", TALK + SLEEP)
    of_a_tool = folder / "logs" / "tools-clock.log"
    of_a_tool.parent.mkdir()
    of_a_tool.write_text("tick " * 500)

    def said() -> list[str]:
        archived = sorted(archive.folder.glob("talker.*.log.gz"))
        texts = [gzip.decompress(file.read_bytes()).decode() for file in archived]
        return [line.split()[0] for text in (*texts, talker.log.path.read_text()) for line in text.splitlines()]

    with Supervisor([talker], folder / "run", tick=0.02, archive=archive).in_background():
        eventually(lambda: "99" in said())
    assert said() == [str(n) for n in range(100)]
    assert len(list(archive.folder.glob("talker.*"))) == 4
    assert len(list(archive.folder.glob("tools-clock.*"))) == 1
    assert of_a_tool.stat().st_size == 0


async def test_postgres_and_nats_killed_9_come_back_with_their_data_under_the_same_urls(folder: Path):
    postgres = EmbeddedPostgres(folder / "postgres", folder / "logs" / "postgres.log")
    nats = EmbeddedNats(folder / "nats", folder / "logs" / "nats.log")
    with supervisor(folder, postgres, nats).in_background():
        url = nats.url
        with psycopg.connect(postgres.url()) as connection:
            connection.execute("CREATE TABLE facts AS SELECT 'kept' AS fact")
        client = await nats_client.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        await client.jetstream().add_stream(name="NEWS", subjects=["news.>"])
        before = [child(folder, "postgres"), child(folder, "nats")]

        for server in before:
            kill_9(server.pid)
        await asyncio.to_thread(eventually, lambda: all(ran_again(folder, server) for server in before))

        with psycopg.connect(postgres.url()) as connection:
            assert connection.execute("SELECT fact FROM facts").fetchone() == ("kept",)
        assert nats.url == url
        assert (await client.jetstream().stream_info("NEWS")).config.name == "NEWS"
        await client.close()


def test_a_supervisor_killed_9_takes_its_processes_with_it_and_its_successor_starts(folder: Path):
    killed = in_a_process_of_its_own(folder)
    before = running(folder)
    assert before is not None
    assert before.pid == killed.pid

    kill_9(before.pid)
    killed.wait()
    eventually(lambda: not any(lives(one.pid) for one in before.children if one.pid))
    assert record.read(folder / "run") is None

    successor = in_a_process_of_its_own(folder)
    after = running(folder)
    assert after is not None
    assert after.child("nats").port == before.child("nats").port
    successor.send_signal(signal.SIGTERM)
    assert successor.wait(60) == 0
    assert not any(lives(one.pid) for one in after.children if one.pid)
    assert not (folder / "run" / record.FILE).exists()


def test_a_taken_port_is_named_before_anything_waits_for_it(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        gateway = python(folder, "gateway", SLEEP, port=port)
        with pytest.raises(PortTaken, match=f"gateway cannot listen on 127.0.0.1:{port}"):
            supervisor(folder, gateway).run()
