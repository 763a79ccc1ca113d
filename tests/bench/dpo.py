"""Training: the seconds of a step and the peak of memory, beside a bare script of TRL on the same pairs, and with
reference log-probabilities that are precomputed and that are not.

The pairs are AlpacaEval's: `BENCH_DPO_PAIRS` of them (64), cut at 256 tokens, on which the embedded model trains for
`BENCH_DPO_STEPS` steps (one epoch). Half of ours weigh 0.5, so that each has its loss reckoned alone.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, Literal
from uuid import UUID

from adapters.model_server.weights import prepare_model
from tests.bench.results import ROUNDS, Result
from tests.requirements import needs_real_inputs

Kind = Literal["ours", "asked", "bare"]
"""`asked`: ours, whose reference is asked at each step rather than before the first."""

MAX_LENGTH = 256
BATCH = 4


PEERS: dict[Kind, str] = {"bare": "a bare script of TRL", "asked": "ours, reference asked at each step"}
FIGURES = {
    "step_seconds": "s a step",
    "peak_mib": "MiB at the peak",
    "seconds": "s in all",
    "cpu_seconds": "s computed",
}


def run() -> Iterator[Result]:
    """Beside each peer the seconds of a step, the MiB at the peak, and the seconds in all, gone and computed."""
    pairs = int(os.environ.get("BENCH_DPO_PAIRS", "64"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pairs.jsonl").write_bytes(b"".join(alpaca_pairs(pairs)))
        base = prepare_model(folder / "smollm2-135m-instruct")
        rounds: dict[Kind, list[dict[str, float]]] = {kind: [] for kind in ("ours", *PEERS)}
        for number in range(ROUNDS):
            for kind, found in rounds.items():
                found.append(_round(folder / f"{kind}-{number}", folder / "pairs.jsonl", base, kind))
    for peer, peer_name in PEERS.items():
        for figure, unit in FIGURES.items():
            ours, theirs = (median(one[figure] for one in rounds[kind]) for kind in ("ours", peer))
            yield Result("dpo", {"pairs": pairs, "max_length": MAX_LENGTH}, ours, unit, theirs, peer_name)


def _round(folder: Path, pairs: Path, base: Path, kind: Kind) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.dpo_round", kind, str(folder), str(pairs), str(base)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def alpaca_pairs(count: int) -> Iterator[bytes]:
    """The first that have a winner, as lines of a dataset."""
    with gzip.open(needs_real_inputs() / "alpaca_eval_judgments.jsonl.gz", "rt", encoding="utf-8") as judgments:
        won = (judged for line in judgments if (judged := json.loads(line))["preference"] in (1.0, 2.0))
        for number, judged in zip(range(count), won, strict=False):
            best = int(judged["preference"])
            row: dict[str, Any] = {
                "prompt": _said("user", judged["instruction"]),
                "chosen": _said("assistant", judged[f"output_{best}"]),
                "rejected": _said("assistant", judged[f"output_{3 - best}"]),
                "preference_id": str(UUID(int=number)),
                "weight": (1.0, 0.5)[number % 2],
            }
            yield json.dumps(row).encode() + b"\n"


def _said(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]
