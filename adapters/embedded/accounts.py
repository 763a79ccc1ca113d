"""The account that PostgreSQL runs as: one's own, or for root, who must not, a dedicated one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from adapters.embedded.errors import CannotDropRoot
from adapters.embedded.process import Account

DEDICATED = "caravan"
CANDIDATES = (DEDICATED, "postgres")


def is_root() -> bool:
    """Whether this process has to give up rights before it may run PostgreSQL."""
    return os.geteuid() == 0


def owner(folder: Path) -> Account | None:
    """Whose the folder is, as root sees it; None where that is root itself."""
    status = folder.stat()
    return Account(status.st_uid, status.st_gid) if status.st_uid else None


def dedicated_account() -> Account:
    """The account of the system's own for PostgreSQL, made where there is none. Raises CannotDropRoot."""
    found = _first_known()
    if found is None:
        _create()
        found = _first_known()
    if found is None:
        raise CannotDropRoot(_advice("it was made, but cannot be seen"))
    return found


def _first_known() -> Account | None:
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    return None


def _create() -> None:
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if sys.platform != "linux" or program is None:
        raise CannotDropRoot(_advice("this system has no `useradd` to make one with"))
    made = subprocess.run(
        [program, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", DEDICATED],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode and _first_known() is None:  # two starts at once: the other one made it
        raise CannotDropRoot(_advice(made.stderr.strip()))


def _advice(why: str) -> str:
    return (
        f"PostgreSQL does not run as root and there is no user `{DEDICATED}` to run it as ({why}). "
        f"Make a system user of that name, or run Caravan as a normal user."
    )
