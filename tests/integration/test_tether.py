"""A tethered program ends with its parent, on Linux and where there is no PDEATHSIG."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from adapters.embedded.tether import tethered
from tests.integration.processes import eventually, kill_9, lives

STARTS_A_TETHERED_SLEEPER = """
import signal, subprocess, sys, time
from adapters.embedded.tether import tethered
child = subprocess.Popen(tethered(["sleep", "600"], signal.SIGKILL))
print(child.pid, flush=True)
time.sleep(600)
"""

STARTS_A_WATCHED_SLEEPER = """
import os, signal, subprocess, sys, time
from adapters.embedded.tether import watch_from_aside
parent = os.getpid()
child = os.fork()
if not child:
    watch_from_aside(parent, os.getpid(), signal.SIGKILL, interval=0.05)
    os.execvp("sleep", ["sleep", "600"])
print(child, flush=True)
time.sleep(600)
"""


def _child_of(program: str) -> tuple[subprocess.Popen[str], int]:
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def test_it_ends_when_its_parent_is_killed_9():
    parent, child = _child_of(STARTS_A_TETHERED_SLEEPER)
    assert lives(child)
    kill_9(parent.pid)
    parent.wait()
    eventually(lambda: not lives(child))


def test_a_watcher_ends_it_where_the_kernel_does_not():
    parent, child = _child_of(STARTS_A_WATCHED_SLEEPER)
    assert lives(child)
    kill_9(parent.pid)
    parent.wait()
    eventually(lambda: not lives(child))


def test_it_has_its_own_arguments_and_exit_code_and_is_private():
    script = "import os, sys; print(sys.argv[1:], oct(os.umask(0))); sys.exit(7)"
    ran = subprocess.run(
        tethered([sys.executable, "-c", script, "a b", "--flag"], signal.SIGTERM),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.returncode) == ("['a b', '--flag'] 0o77\n", 7)


def test_a_program_that_is_not_there_is_named(tmp_path: Path):
    missing = str(tmp_path / "missing")
    ran = subprocess.run(tethered([missing], signal.SIGTERM), capture_output=True, text=True, check=False)
    assert ran.returncode
    assert f"cannot run {missing}" in ran.stderr
