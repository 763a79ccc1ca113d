"""Files that were sent to be imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol
from uuid import UUID

from domain.errors import DomainError
from domain.importing import Row, SetAside


class Unreadable(DomainError):
    """A file that cannot be imported as a whole; the text says what to do about it. HTTP 422."""


class ImportFile(Protocol):
    """A file to be imported, whose form is known."""

    @property
    def form(self) -> str: ...

    def rows(self) -> Iterator[Row]:
        """Row by row, whatever its size. Raises Unreadable where the file breaks off."""


class ImportFiles(Protocol):
    """Files that were sent to be imported, by the SHA-256 (hex) of their bytes, and what was set aside of them."""

    @property
    def forms(self) -> Sequence[str]:
        """The names of the forms that can be imported."""

    def receive(self, sha256: str, pieces: Iterable[bytes]) -> int:
        """Keeps a file, all of it or nothing; returns its size. Raises Invalid for bytes with another hash, and what
        `pieces` raises."""

    def open(self, sha256: str, form: str) -> ImportFile:
        """Raises NotFound, and Unreadable where it is of none of our forms, or `form` is none."""

    def glance(self, sha256: str, form: str) -> None:
        """Raises what `open` would, where that is seen at once: Parquet, which is decoded apart, is left to `open`."""

    def setting_aside(self, import_id: UUID) -> AbstractContextManager[Callable[[int, SetAside], None]]:
        """Takes what an import sets aside, by line; it can be read once the block has ended well."""

    def set_aside(self, import_id: UUID) -> Path:
        """Its JSON Lines: `line`, `reason`, `text`. Raises NotFound where there are none."""
