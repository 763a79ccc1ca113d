"""Where a PostgreSQL cluster lies, whose it is, and how it comes to be.

    a normal user    FOLDER/data, FOLDER/socket
    root             FOLDER/cluster -> /var/lib/caravan/ID, and there data and socket, of the dedicated account:
                     a folder under somebody's home may be closed to that account.

ID is made of the folder's path and a random part, so that a folder that was deleted and made again starts afresh
instead of meeting the old data.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

from adapters.durable_files import sync
from adapters.embedded.accounts import dedicated_account, is_root, owner
from adapters.embedded.disk import NO_SPACE, require_space
from adapters.embedded.errors import DiskFull, FolderUnusable, ProcessFailed
from adapters.embedded.postgres_binaries import MAJOR_VERSION
from adapters.embedded.process import Account
from adapters.embedded.tether import STAY, tethered

SYSTEM_FOLDER = Path("/var/lib/caravan")
SUPERUSER = "postgres"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
SPACE_TO_CREATE = 128 * 2**20
LONGEST_SOCKET_PATH = 100
"""Of the 103 bytes that macOS has for it, and the 107 of Linux."""


@dataclass(frozen=True)
class Cluster:
    """A place for a cluster; `account` runs it, None for the account that we are."""

    folder: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """The data folder proper, in PostgreSQL's sense."""
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """The folder of the unix socket: beside the data, or in the temporary folder where that path is too long."""
        beside = self.folder / "socket"
        if len(os.fsencode(beside / ".s.PGSQL.5432.lock")) < LONGEST_SOCKET_PATH:
            return beside
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        uid = self.account.uid if self.account else os.geteuid()
        return Path(tempfile.gettempdir()) / f"caravan-{uid}-{digest}"

    @property
    def exists(self) -> bool:
        """Whether a whole cluster is there."""
        return (self.data / "PG_VERSION").exists()


def locate(folder: Path, system_folder: Path = SYSTEM_FOLDER) -> Cluster:
    """The cluster that belongs to `folder`, made known but not created. Raises FolderUnusable, CannotDropRoot."""
    link = folder / "cluster"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not is_root():
            if link.is_symlink():
                raise FolderUnusable(f"{folder} was made by root. Run as root again, or choose another data folder.")
            folder.chmod(0o700)
            return Cluster(folder, None)
        if (folder / "data").exists() and (account := owner(folder / "data")):
            return Cluster(folder, account)
        if link.is_symlink():
            return _linked(link)
        return _new_linked(link, system_folder)
    except OSError as error:
        raise FolderUnusable(
            f"{folder} cannot hold a database: {error}. Run as its owner, or choose another data folder."
        ) from error


def _linked(link: Path) -> Cluster:
    target = link.readlink()
    if not target.exists():
        raise FolderUnusable(
            f"The database of {link.parent} lay in {target}, which is gone. "
            f"Bring it back from a backup, or remove {link} to start with an empty database."
        )
    return Cluster(target, owner(target))


def _new_linked(link: Path, system_folder: Path) -> Cluster:
    account = dedicated_account()
    system_folder.mkdir(parents=True, exist_ok=True)
    system_folder.chmod(0o711)
    digest = hashlib.sha256(os.fsencode(link.parent)).hexdigest()[:12]
    target = system_folder / f"{digest}-{secrets.token_hex(4)}"
    _private_folder(target, account)
    link.symlink_to(target)
    return Cluster(target, account)


def create(cluster: Cluster, programs: Path) -> None:
    """Run initdb, if there is no cluster yet: into a draft, so that a half-made one is never taken for a whole one.

    Raises FolderUnusable where another major version made it, DiskFull or ProcessFailed.
    """
    if cluster.exists:
        _check_version(cluster)
        return
    require_space(cluster.folder, SPACE_TO_CREATE)
    draft = cluster.folder / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    _private_folder(draft, cluster.account)
    uid, gid = (cluster.account.uid, cluster.account.gid) if cluster.account else (STAY, STAY)
    command = [str(programs / "initdb"), "-D", str(draft), "-U", SUPERUSER, "-E", "UTF8"]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    command += ["--auth-local=trust", "--auth-host=reject"]
    made = subprocess.run(
        tethered(command, SIGKILL, uid, gid), env=ENVIRONMENT, cwd="/", capture_output=True, text=True, check=False
    )
    if made.returncode:
        if NO_SPACE in made.stderr:
            raise DiskFull(cluster.folder)
        raise ProcessFailed("initdb", f"ended with exit code {made.returncode}", made.stderr[-1500:])
    draft.rename(cluster.data)
    sync(cluster.folder)


def prepare_socket_folder(cluster: Cluster) -> None:
    """A folder for the account alone, empty of what dead servers left. Raises FolderUnusable."""
    folder = cluster.socket
    try:
        _private_folder(folder, cluster.account)
        status = folder.lstat()
        wanted = cluster.account.uid if cluster.account else os.geteuid()
        if folder.is_symlink() or status.st_uid != wanted:
            raise FolderUnusable(f"{folder}, for the database's socket, is somebody else's. Remove it.")
        for left in folder.glob(".s.PGSQL.*"):
            left.unlink()
    except OSError as error:
        raise FolderUnusable(f"{folder}, for the database's socket, cannot be used: {error}. Remove it.") from error


def _check_version(cluster: Cluster) -> None:
    version = (cluster.data / "PG_VERSION").read_text().strip()
    if version != str(MAJOR_VERSION):
        raise FolderUnusable(
            f"{cluster.data} was made by PostgreSQL {version}; this is {MAJOR_VERSION}. "
            "Use pg_upgrade or pg_dump to bring it over, or choose another data folder."
        )


def _private_folder(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_symlink():
        if account and folder.stat().st_uid == 0:
            os.chown(folder, account.uid, account.gid)
        if folder.stat().st_uid in (os.geteuid(), account.uid if account else STAY):
            folder.chmod(0o700)
