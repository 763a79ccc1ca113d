"""The files under artifacts/: datasets as JSON Lines, large results of jobs, and LoRA adapters. What lies there is
whole and never changes.

    artifacts/datasets/<dataset_id>.jsonl  <dataset_id>.<part>.jsonl  <dataset_id>.manifest.json
                       <dataset_id>.index.sqlite
    artifacts/jobs/<sha256>.json
    artifacts/adapters/<name>/adapter_model.safetensors  adapter_config.json  README.md  passport.json

Everything is written beside its place under a name that starts with a dot, synced, and then renamed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from adapters.dataset_staging import StagedFiles, staged
from adapters.durable_files import sync, whole
from adapters.rival_rows import RivalRows, rival_rows
from domain.dataset_recipe import TRAIN
from domain.errors import NotFound
from domain.job import ResultFile

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}(@[0-9]{1,9})?")


class UnsafeName(ValueError):
    """A name that could leave its folder, or that no file system can be trusted to keep as it is."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} cannot name a file: use up to 80 letters, digits, '.', '_' and '-', "
            "starting with a letter or a digit, and a revision such as '@1' where wanted"
        )


class AlreadyPublished(Exception):
    """Adapters are immutable: a name that is taken stays what it is. Train under the next revision."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} exists and is never overwritten: train under the next revision")


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    """Fulfils domain.ports.datasets.DatasetFiles in `artifacts_dir`/datasets."""

    artifacts_dir: Path

    def path(self, id: UUID, part: str = TRAIN) -> Path:
        """Where the JSON Lines of that part lie, or would."""
        return self._folder / (f"{id}.jsonl" if part == TRAIN else f"{id}.{safe_name(part)}.jsonl")

    def holds(self, id: UUID, sha256: str, part: str = TRAIN) -> bool:
        """Whether that part lies there, whole, with that hash (hex)."""
        file = self.path(id, part)
        return file.is_file() and sha256_of(file) == sha256

    def write(self, id: UUID, lines: Iterable[bytes]) -> tuple[Path, str, int]:
        """Writes them whole or not at all. Returns path, SHA-256 (hex) and size in bytes."""
        file = self.path(id)
        return file, *write_whole(file, lines)

    @contextmanager
    def staging(self, id: UUID, parts: Sequence[str]) -> Iterator[StagedFiles]:
        """The files of those parts, to be written side by side; gone at the end unless they were published."""
        with staged({part: self.path(id, part) for part in parts}) as files:
            yield files

    @contextmanager
    def rivals(self) -> Iterator[RivalRows]:
        """None yet; they are kept beside the datasets."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with rival_rows(self._folder) as rivals:
            yield rivals

    def keep_manifest(self, id: UUID, content: bytes) -> Path:
        """Where it lies, with that content."""
        file = self._folder / f"{id}.manifest.json"
        if not file.is_file() or file.read_bytes() != content:
            write_whole(file, [content])
        return file

    def index(self, id: UUID) -> Path:
        """Where the index of its pairs lies, or would."""
        return self._folder / f"{id}.index.sqlite"

    @property
    def _folder(self) -> Path:
        return self.artifacts_dir / "datasets"


@dataclass(frozen=True, slots=True)
class PublishedAdapters:
    """The adapters in `artifacts_dir`/adapters."""

    artifacts_dir: Path

    def path(self, name: str) -> Path:
        """The folder where that adapter lies, or would. Raises UnsafeName."""
        return self.artifacts_dir / "adapters" / safe_name(name)

    @contextmanager
    def publishing(self, name: str) -> Iterator[Path]:
        """An empty folder to fill; it becomes the adapter when the block ends well, and is gone when it does not.

        Raises UnsafeName, and AlreadyPublished even when two processes publish one name at the same moment.
        """
        folder = self.path(name)
        if folder.exists():
            raise AlreadyPublished(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder.parent))
        try:
            yield staging
            for file in staging.iterdir():
                sync(file)
            sync(staging)
            _rename_to_new(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class JobResults:
    """Fulfils domain.ports.jobs.ResultFiles in `artifacts_dir`/jobs, by content."""

    artifacts_dir: Path

    def keep(self, content: bytes) -> ResultFile:
        """Writes it whole or not at all; the same again changes nothing."""
        sha256 = hashlib.sha256(content).hexdigest()
        write_whole(self._path(sha256), [content])
        return ResultFile(sha256, len(content))

    def read(self, file: ResultFile) -> bytes:
        """What was kept. Raises NotFound where it is lost, or is not what it was."""
        try:
            content = self._path(file.sha256).read_bytes()
        except FileNotFoundError as lost:
            raise NotFound("file of the result", file.sha256) from lost
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise NotFound("sound file of the result", file.sha256)
        return content

    def _path(self, sha256: str) -> Path:
        return self.artifacts_dir / "jobs" / f"{sha256}.json"


def safe_name(name: str) -> str:
    """The name itself, if it is safe as a file's or a folder's. Raises UnsafeName."""
    if not SAFE_NAME.fullmatch(name):
        raise UnsafeName(name)
    return name


def sha256_of(file: Path) -> str:
    """The hex SHA-256 of a file's bytes, read in pieces."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_whole(file: Path, chunks: Iterable[bytes]) -> tuple[str, int]:
    """Writes a file so that readers, and whoever comes after a crash, see all of it or nothing.

    Returns the hex SHA-256 and the size in bytes of what was written.
    """
    digest, size = hashlib.sha256(), 0
    with whole(file) as output:
        for chunk in chunks:
            digest.update(chunk)
            size += output.write(chunk)
    return digest.hexdigest(), size


def _rename_to_new(staging: Path, folder: Path) -> None:
    """The kernel refuses to rename a folder onto one that holds files: so the race has one winner."""
    try:
        staging.rename(folder)
    except OSError as error:
        if folder.exists():
            raise AlreadyPublished(folder) from error
        raise
    sync(folder.parent)
