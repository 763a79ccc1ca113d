"""Why a training failed, in words that say what to do about it."""

from __future__ import annotations

import errno
import signal

from adapters.artifacts import AlreadyPublished
from adapters.dpo.pairs import BadDataset
from adapters.embedded.disk import NO_SPACE
from adapters.embedded.errors import EmbeddedError
from domain.errors import Invalid

OUT_OF_MEMORY = (
    "out of memory: lower per_device_train_batch_size, max_length or r, or set gradient_checkpointing, "
    "or train on a machine with more memory"
)
DISK_FULL = "the disk is full: free some space, then request the training again"

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_ANOTHER_DIED = ("Connection closed by peer", "Connection reset by peer", "NCCL", "Gloo", "Broken pipe")
_NO_SPACE = (NO_SPACE, "file write failed", "Disk quota exceeded")


class NoGpu(Exception):
    """There is none where one was asked for."""


class BadStart(Exception):
    """The adapter that the training should go on from cannot be gone on from."""


class OtherBase(Exception):
    """The base model's weights are not those that the adapter to be made again was trained for."""


class Diverged(Exception):
    """What is measured is no number any more."""


def why_it_raised(error: BaseException) -> str:
    """The reason behind an exception in the training process. Libraries wrap theirs, so the text is looked at too."""
    text = str(error)
    if isinstance(
        error, Invalid | BadDataset | AlreadyPublished | EmbeddedError | NoGpu | BadStart | OtherBase | Diverged
    ):
        return text
    elif isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY):
        return OUT_OF_MEMORY
    elif getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(sign in text for sign in _NO_SPACE):
        return DISK_FULL
    return f"{type(error).__name__}: {text}"


def another_died(error: BaseException) -> bool:
    """Whether it only says that one of the processes that train together is gone."""
    return any(sign in str(error) for sign in _ANOTHER_DIED)


def why_it_died(returncode: int) -> str:
    """The reason behind a training process that ended without a word."""
    if returncode == -signal.SIGKILL:
        return f"the training process was killed; if nobody did that by hand, it was {OUT_OF_MEMORY}"
    elif returncode < 0:
        return f"the training process died of {signal.Signals(-returncode).name}"
    return f"the training process ended with code {returncode} and gave no reason"
