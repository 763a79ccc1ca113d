"""Starts a program that ends when its parent does, however the parent dies.

    python -I -S tether.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT ...]

The tether replaces itself by the program, which so keeps the pid that the parent knows. It is a script of its own
because what it does between fork and exec is not safe in a parent with threads, and it uses the standard library
alone because it runs in front of every process. UID and GID are -1 to stay who one is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
STAY = -1


def tethered(argv: Sequence[str], death_signal: signal.Signals, uid: int = STAY, gid: int = STAY) -> list[str]:
    """The command that runs `argv` tethered to this process.

    On Linux the tie is to the thread that starts it: that thread has to live as long as the program should.
    """
    script = os.path.abspath(__file__)  # noqa: PTH100 - pathlib would double the time that the script takes
    ours = [os.getpid(), int(death_signal), uid, gid]
    return [sys.executable, "-I", "-S", script, *map(str, ours), *argv]


def end_with_parent(parent: int, death_signal: int) -> None:
    """From now on `death_signal` comes when the process `parent`, which started this one, has died."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal)
    else:
        watch_from_aside(parent, os.getpid(), death_signal)
    if os.getppid() != parent:
        sys.exit("the parent ended before its child began")


def watch_from_aside(parent: int, child: int, death_signal: int, interval: float = 0.5) -> None:
    """Leave a small process that signals `child` once `parent` is gone, for systems without PDEATHSIG."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)  # so that the program never meets a child that it did not start
        return
    if os.fork() == 0:
        os.setsid()
        while _lives(parent) and _lives(child):
            time.sleep(interval)
        if _lives(child):
            os.kill(child, death_signal)
    os._exit(0)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _restore_signals() -> None:
    """Undo what Python and the parent did: what is ignored or blocked stays so through exec."""
    for name in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def main(arguments: Sequence[str]) -> None:
    """Become the program; the module's docstring says what the arguments are."""
    parent, death_signal, uid, gid = map(int, arguments[:4])
    argv = list(arguments[4:])
    try:
        if uid != STAY:
            _become(uid, gid)
        os.umask(0o077)
        _restore_signals()
        end_with_parent(parent, death_signal)  # after the change of user, which would clear it
        os.execvp(argv[0], argv)  # noqa: S606 - a shell is what nobody wants here
    except OSError as error:
        sys.exit(f"cannot run {argv[0]} as user {uid if uid != STAY else os.getuid()}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
