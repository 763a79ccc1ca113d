"""The child process that trains: `python -m adapters.dpo.process JOB.json FD`.

It reports to its parent by JSON lines on the file descriptor FD (stdout and stderr belong to the libraries):

    {"started": {"device": "cpu", "step": 0}}     {"progress": {"step": 1, "loss": 0.69, ...}}
    then one of  {"finished": null}  {"cancelled": 7}  {"failed": "why"}

SIGTERM asks it to stop after the current step and to keep a checkpoint. Started again with the same job, it goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

from adapters.dpo.failures import why_it_raised
from adapters.dpo.job import read_job
from adapters.dpo.pairs import heaviest, read_pairs
from adapters.embedded.locks import OwnerLock

LOCK_PATIENCE_SECONDS = 30
"""How long to wait for a predecessor that is just ending."""


def main(job_file: Path, report_fd: int) -> int:
    """Trains; every way to end but a parent's death is reported. Returns the exit code."""
    stop_requests: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stop_requests.append(number))

    os.set_inheritable(report_fd, False)

    def report(**message: object) -> None:
        os.write(report_fd, json.dumps(message, allow_nan=False).encode() + b"\n")

    try:
        job = read_job(job_file)
        dataset = read_pairs(Path(job.job.dataset_file), job.job.dataset_sha256)
        pairs = heaviest(dataset, job.job.config.max_pairs)
        OwnerLock(job.folder / "lock").acquire(LOCK_PATIENCE_SECONDS)
        # Imported here because it takes seconds, in which a cancellation must be heard.
        from adapters.dpo.training import train

        train(job, pairs, report, stopping=lambda: bool(stop_requests))
    except BrokenPipeError:
        return 1
    except Exception as error:
        report(failed=why_it_raised(error))
        traceback.print_exc()  # second, because on a full disk it fails too
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
