"""What some tests need from the machine, and the command that brings it.

Where it is missing the test is skipped. In CI it fails instead, unless it is named in `CARAVAN_MAY_SKIP`:
a comma-separated list of `chromium`, `external-postgres` and `real-inputs`.
"""

import os
import re
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
POSTGRES_FOLDERS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")


def needs_chromium() -> Path:
    """The browser's executable."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        _missing("chromium", "no Chromium or Chrome is on the PATH", "sudo apt-get install chromium")
    return Path(found)


def needs_external_postgres() -> Path:
    """The folder with `initdb` and `postgres` of the newest PostgreSQL that the system brings."""
    folders = [folder for pattern in POSTGRES_FOLDERS for folder in Path("/").glob(pattern)]
    servers = [folder for folder in folders if (folder / "postgres").exists()]
    if not servers:
        _missing("external-postgres", "the system brings no PostgreSQL", "sudo apt-get install postgresql")
    return max(servers, key=_version)


def needs_real_inputs() -> Path:
    """The folder with `mt_bench_questions.jsonl` and `alpaca_eval_judgments.jsonl.gz`."""
    folder = Path(os.environ.get("CARAVAN_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mt_bench_questions.jsonl").exists():
        _missing("real-inputs", f"no real inputs are in {folder}", "export CARAVAN_TEST_DATA=<their folder>")
    return folder


def _version(folder: Path) -> tuple[int, ...]:
    """`/usr/lib/postgresql/15/bin` is (15,)."""
    return tuple(map(int, re.findall(r"\d+", folder.parent.name)))


def _missing(requirement: str, why: str, command: str) -> NoReturn:
    may_skip = not os.environ.get("CI") or requirement in os.environ.get("CARAVAN_MAY_SKIP", "").split(",")
    (pytest.skip if may_skip else pytest.fail)(f"{why}; to run it: {command}")
