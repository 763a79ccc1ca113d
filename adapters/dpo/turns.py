"""One training at a time on a device, whichever of a machine's trainers does it: each device has a lock, and the kernel
frees it however its owner dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

from adapters.embedded.errors import FolderInUse
from adapters.embedded.locks import OwnerLock
from domain.training import TrainingCancelled

CPU = "cpu"
POLL_SECONDS = 0.5


def devices_of(device: str, environment: Mapping[str, str]) -> list[str]:
    """What a training with this `device` computes on, by the names of CUDA_VISIBLE_DEVICES, in the order in which
    everybody takes them: so nobody who has one waits for somebody who has the other. Where `auto` finds no GPU, a name
    stands for the CPU."""
    visible = [] if device == CPU else list(_visible(environment.get("CUDA_VISIBLE_DEVICES", "")))
    return sorted(set(visible)) or [CPU]


def take_turn(folder: Path, devices: list[str], cancelled: Callable[[], bool], say: Callable[[str], None]) -> ExitStack:
    """Waits until no other training is on any of these devices; they are this one's until what is returned is closed.
    The locks lie in `folder`; who has to wait hears for whom.

    Raises TrainingCancelled, where that comes first, and OSError or EmbeddedError where there can be no locks.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as held:
        for device in devices:
            lock = OwnerLock(folder / quote(device, safe=""))
            _wait_for(lock, cancelled, say)
            held.callback(lock.release)
        return held.pop_all()


def _wait_for(lock: OwnerLock, cancelled: Callable[[], bool], say: Callable[[str], None]) -> None:
    last: int | None = -1
    while not cancelled():
        try:
            lock.acquire(POLL_SECONDS)
        except FolderInUse as use:
            if use.pid != last:
                last, owner = use.pid, f"process {use.pid}" if use.pid else "another process"
                say(f"waits for device {lock.path.name}, on which a training of {owner} is")
        else:
            return
    raise TrainingCancelled("the training was cancelled while it waited for its turn")


def _visible(names: str) -> Iterator[str]:
    """As CUDA reads them: up to the first that is none, such as -1."""
    for name in map(str.strip, names.split(",")):
        if not name or name.startswith("-"):
            return
        yield name
