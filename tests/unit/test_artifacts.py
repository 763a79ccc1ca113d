from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from adapters.artifacts import AlreadyPublished, DatasetFolder, PublishedAdapters, UnsafeName, write_whole


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", ".hidden", "a@b", "a@1/..", "ä", "a\n", "x" * 81])
def test_a_name_that_could_leave_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeName, match="cannot name a file"):
        PublishedAdapters(tmp_path).path(name)


def test_a_dataset_is_written_with_its_hash_and_size(tmp_path: Path) -> None:
    id = UUID(int=1)
    file, sha256, size = DatasetFolder(tmp_path).write(id, [b"{}\n", b"{}\n"])
    assert file == DatasetFolder(tmp_path).path(id) == tmp_path / "datasets" / f"{id}.jsonl"
    assert file.read_bytes() == b"{}\n{}\n"
    assert (sha256, size) == (hashlib.sha256(b"{}\n{}\n").hexdigest(), 6)


def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    def breaking_off() -> Iterator[bytes]:
        yield b"half"
        raise OSError("No space left on device")

    file = tmp_path / "data"
    write_whole(file, [b"whole"])
    with pytest.raises(OSError, match="No space"):
        write_whole(file, breaking_off())
    assert file.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [file]


def test_an_adapter_appears_whole_when_its_block_ends(tmp_path: Path) -> None:
    adapters = PublishedAdapters(tmp_path)
    with adapters.publishing("team@1") as folder:
        (folder / "README.md").write_text("card")
        assert not adapters.path("team@1").exists()
    assert (adapters.path("team@1") / "README.md").read_text() == "card"
    assert list((tmp_path / "adapters").iterdir()) == [adapters.path("team@1")]


def test_nothing_is_left_of_an_adapter_that_could_not_be_finished(tmp_path: Path) -> None:
    def break_off() -> None:
        with PublishedAdapters(tmp_path).publishing("team@1") as folder:
            (folder / "README.md").write_text("card")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        break_off()
    assert not list((tmp_path / "adapters").iterdir())


def test_a_published_adapter_is_never_overwritten(tmp_path: Path) -> None:
    adapters = PublishedAdapters(tmp_path)
    publish(adapters, "first")
    with pytest.raises(AlreadyPublished):
        publish(adapters, "second")
    assert (adapters.path("team@1") / "README.md").read_text() == "first"


def test_of_two_who_publish_one_name_at_once_the_first_wins(tmp_path: Path) -> None:
    adapters = PublishedAdapters(tmp_path)
    with pytest.raises(AlreadyPublished):
        publish(adapters, "slower", meanwhile=lambda: publish(adapters, "faster"))
    assert (adapters.path("team@1") / "README.md").read_text() == "faster"


def publish(adapters: PublishedAdapters, card: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    with adapters.publishing("team@1") as folder:
        (folder / "README.md").write_text(card)
        meanwhile()
