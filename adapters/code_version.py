"""Which code this is: the version of the package, and the revision of the repository that it runs from."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def code_version() -> str:
    """E.g. `0.1.0+1b45563`; without the revision where there is no repository, or no git."""
    package = version("caravan")
    revision = _revision() if (ROOT / ".git").exists() else ""
    return f"{package}+{revision}" if revision else package


def _revision() -> str:
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout.strip()
