"""The embedded nats-server: closed to those without its token, and the same for its clients after a crash."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nats as nats_client
import pytest
from nats.errors import Error as NatsError

from adapters.embedded.errors import FolderInUse, FolderUnusable, PortTaken
from adapters.embedded.nats_server import EmbeddedNats
from tests.integration.processes import eventually, kill_9


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    """Not started."""
    server = EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log")
    yield server
    server.stop()


async def test_its_url_gives_jetstream(nats: str):
    client = await nats_client.connect(nats)
    assert (await client.jetstream().account_info()).streams >= 0
    await client.close()


async def test_without_its_token_nobody_gets_in(server: EmbeddedNats):
    server.start()
    with pytest.raises(NatsError, match="Authorization Violation"):
        await nats_client.connect(f"nats://127.0.0.1:{server.port}", max_reconnect_attempts=0, allow_reconnect=False)
    for secret in (server.folder / "token", server.folder / "nats.conf"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700


async def test_after_a_kill_9_a_client_finds_it_again_with_its_messages(server: EmbeddedNats):
    server.start()
    url = server.url
    back = asyncio.Event()

    async def note() -> None:
        back.set()

    client = await nats_client.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, reconnected_cb=note)
    await client.jetstream().add_stream(name="NEWS", subjects=["news.>"])
    await client.jetstream().publish("news.one", b"first")

    kill_9(server.pid)
    eventually(lambda: server.exit_code() is not None)
    server.start()

    assert server.url == url
    await asyncio.wait_for(back.wait(), 60)
    await client.jetstream().publish("news.two", b"second")
    assert (await client.jetstream().stream_info("NEWS")).state.messages == 2
    await client.close()


def test_the_next_owner_takes_the_same_port_and_token(server: EmbeddedNats, tmp_path: Path):
    server.start()
    server.stop()
    with EmbeddedNats(server.folder, tmp_path / "nats.log") as successor:
        assert successor.url == server.url


def test_its_url_is_known_before_it_runs_and_to_others_while_it_runs(server: EmbeddedNats, tmp_path: Path):
    elsewhere = EmbeddedNats(server.folder, tmp_path / "nats.log")
    announced = elsewhere.url
    server.start()
    assert server.url == announced
    assert EmbeddedNats(server.folder, tmp_path / "nats.log").url == announced


def test_a_second_owner_is_refused_and_told_who_the_first_is(server: EmbeddedNats, tmp_path: Path):
    server.start()
    with pytest.raises(FolderInUse) as refused:
        EmbeddedNats(server.folder, tmp_path / "second.log").start()
    assert refused.value.pid == os.getpid()


def test_a_port_that_is_taken_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"127.0.0.1:{port}"):
            EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log", port).start()


def test_a_port_remembered_but_taken_since_is_replaced(server: EmbeddedNats, tmp_path: Path):
    server.start()
    server.stop()
    successor = EmbeddedNats(server.folder, tmp_path / "nats.log")
    with socket.create_server(("127.0.0.1", server.port or 0)), successor:
        assert successor.port != server.port


def test_an_orphaned_server_of_this_very_folder_is_ended_first(server: EmbeddedNats):
    launch = server.prepare()
    orphan = subprocess.Popen(launch.argv, env=launch.env, stderr=subprocess.DEVNULL)
    eventually(server.is_ready)
    server.release()
    server.start()
    assert orphan.wait(60) is not None
    assert server.is_ready()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnusable, match="cannot be used"):
        EmbeddedNats(tmp_path / "file" / "nats", tmp_path / "nats.log").start()
