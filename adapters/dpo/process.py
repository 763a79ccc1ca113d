"""The process that trains: `python -m adapters.dpo.process JOB.json REPORTS`, or several of them at once under
`accelerate launch`, each on batches of its own.

It reports to its parent by JSON lines in the pipe REPORTS (stdout and stderr belong to the libraries):

    {"started": {"device": "cpu", "step": 0}}     {"progress": {"step": 1, "loss": 0.69, ...}}
    then one of  {"finished": null}  {"cancelled": 7}  {"failed": "why"}

SIGTERM asks it to stop after the current step and to keep a checkpoint; before the first step, after the batch that the
reference is asked about. Started again with the same job, it goes on.
SIGABRT ends it, and all its threads say to stderr where they were.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from adapters.dpo.failures import another_died, why_it_raised
from adapters.dpo.job import read_job
from adapters.dpo.pairs import take_pairs
from adapters.embedded.locks import OwnerLock
from adapters.embedded.tether import end_with_parent

LOCK_PATIENCE_SECONDS = 30
"""How long to wait for a predecessor that is just ending."""


def main(job_file: Path, reports: Path) -> int:
    """Trains; every way to end but a parent's death is reported. Returns the exit code."""
    faulthandler.enable()
    stop_requests: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stop_requests.append(number))
    rank = os.environ.get("RANK")
    if rank is not None:
        end_with_parent(os.getppid(), signal.SIGKILL)
    speaks = rank in (None, "0")
    pipe = os.open(reports, os.O_WRONLY)

    def report(**message: object) -> None:
        if speaks or "failed" in message:
            os.write(pipe, json.dumps(message, allow_nan=False).encode() + b"\n")

    try:
        job = read_job(job_file)
        job.job.config.check()  # it may have been asked for when other options were offered
        pairs = take_pairs(Path(job.job.dataset_file), job.job.dataset_sha256, job.job.config.max_pairs)
        if speaks:
            OwnerLock(job.folder / "lock").acquire(LOCK_PATIENCE_SECONDS)
        # Imported here because it takes seconds, in which a cancellation must be heard.
        from adapters.dpo.training import train

        train(job, pairs, report, stopping=lambda: bool(stop_requests))
    except BrokenPipeError:
        return 1
    except Exception as error:
        if rank is None or not another_died(error):  # all of them are started again
            report(failed=why_it_raised(error))
        traceback.print_exc()  # second, because on a full disk it fails too
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
