"""Files that are written once and then kept: what they should be is what git first knew."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class NoHistory(Exception):
    """Git cannot say what files were."""


def altered(folder: Path) -> list[str]:
    """The files below it that are not as they were first committed, or are gone, by their path in the repository.

    Raises NoHistory outside of a repository and in a shallow clone.
    """
    if _git(folder, "rev-parse", "--is-shallow-repository") == ["true"]:
        raise NoHistory("the checkout has not all of its git history; to run it: git fetch --unshallow")
    (root,) = map(Path, _git(folder, "rev-parse", "--show-toplevel"))
    added = _git(folder, "log", "--format=", "--diff-filter=A", "--raw", "--no-renames", "--no-abbrev", "--", ".")
    first = {}
    for line in added:  # the newest first: a file that was removed and added again counts as it was at first
        blob, path = line.split(maxsplit=5)[3::2]
        first[path] = blob
    if not first:
        raise NoHistory("the checkout is not of Caravan's own git repository")
    there = [path for path in first if (root / path).exists()]
    now = dict(zip(there, _git(root, "hash-object", "--", *there), strict=True)) if there else {}
    return sorted(path for path, blob in first.items() if now.get(path) != blob)


def plain_environment() -> dict[str, str]:
    """Without what git tells its hooks, which would make every git a git of that one repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def _git(folder: Path, *arguments: str) -> list[str]:
    """The lines that git prints. A container may own the files under another name."""
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise NoHistory("the checkout has no git history; to run it: clone the repository") from error
    return done.stdout.splitlines()
