"""What has grown too large is kept, compressed, for a while; what nobody wants any more goes, the oldest first."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import pytest

from adapters.embedded.log_archive import DAY_SECONDS, LogArchive
from adapters.embedded.logs import LogFile


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "worker.log")


def archived(archive: LogArchive) -> list[bytes]:
    return [gzip.decompress(file.read_bytes()) for file in sorted(archive.folder.iterdir())]


def test_a_log_is_emptied_in_its_place_and_whoever_writes_goes_on(log: LogFile, tmp_path: Path) -> None:
    archive = LogArchive(tmp_path / "archive", largest=3)
    with log.open() as process:
        process.write(b"long\n")
        log.rotate(archive)
        process.write(b"new")
        log.rotate(archive)
    assert (archived(archive), log.path.read_bytes()) == ([b"long\n"], b"new")
    assert log.tail() == "new"
    (file,) = archive.folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.name.startswith("worker.20")


def test_every_log_of_a_folder_is_emptied_once_it_is_too_large_whoever_writes_to_it(
    log: LogFile, tmp_path: Path
) -> None:
    archive = LogArchive(tmp_path / "archive", largest=3)
    (tmp_path / "tools-clock.log").write_text("tick")
    (tmp_path / "small.log").write_text("tic")
    (tmp_path / "notes.txt").write_text("no log")
    with log.open() as process:
        process.write(b"long ago\n")
    with log.open() as process:
        process.write(b"it runs\n")
        archive.empty_large(tmp_path)
        process.write(b"it ends\n")
    assert archived(archive) == [b"tick", b"long ago\nit runs\n"]
    kept = {file.name for file in tmp_path.iterdir() if file.is_file() and file.stat().st_size}
    assert kept == {"small.log", "notes.txt", "worker.log"}
    assert log.tail() == "it ends"


def test_a_log_that_is_over_is_moved(tmp_path: Path) -> None:
    over = tmp_path / "supervisor.2026-11-27_20-00-00_000000.log"
    over.write_text("over")
    archive = LogArchive(tmp_path / "archive")
    archive.move(over)
    assert (archived(archive), over.exists()) == ([b"over"], False)


def test_where_nothing_can_be_kept_the_log_stays_whole(log: LogFile, tmp_path: Path) -> None:
    log.open().write(b"long")
    (tmp_path / "archive").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="archive"):
        log.rotate(LogArchive(tmp_path / "archive", largest=3))
    assert log.path.read_bytes() == b"long"


def test_what_is_too_old_or_too_much_goes(tmp_path: Path) -> None:
    for age, name in enumerate(("today", "yesterday", "before", "long ago")):
        file = tmp_path / f"{name}.log.gz"
        file.write_bytes(b"1234567890")
        then = time.time() - age * DAY_SECONDS
        os.utime(file, (then, then))
    LogArchive(tmp_path, days=2.5).forget()
    assert {file.stem for file in tmp_path.iterdir()} == {"today.log", "yesterday.log", "before.log"}
    LogArchive(tmp_path, most=20).forget()
    assert {file.stem for file in tmp_path.iterdir()} == {"today.log", "yesterday.log"}
