"""Building a dataset of 10^4 to 10^6 preference events, or as many as `BENCH_EVENTS` says: seconds, those of the
processors, which others lengthen less, and the most memory that the process had, and that each of those had that helped
it, as many as there are processors or as `BENCH_PROCESSES` says. Three in ten events are opinions; a pair has some
1,200 characters.

Each is built in a process of its own, from its first import on. The peer is the memory at the smallest size.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import psycopg

from adapters import schema
from adapters.artifacts import DatasetFolder
from adapters.event_json import PlainJsonMapper
from adapters.event_store import PostgresEventStore
from adapters.shared_drafts import DraftingProcess, SharedDrafter
from commands.bus import CommandBus
from commands.datasets import RequestDataset
from commands.handlers import handlers
from commands.policies.build_dataset import BuildDataset
from commands.policies.kinds import KINDS
from domain.dataset_recipe import Part, Recipe
from domain.preference import Verdict
from gateway.running import collect_rarely
from tests.bench.results import Result
from tests.bench.step_events import BENCH, envelope
from tests.builders import NOW, a_pair, a_preference
from tests.fakes import BASE_MODELS, JsonRoster

SIZES = (10_000, 100_000, 1_000_000)
OPINIONS = 3
"""Of ten events."""
TEXTS = {"prompt": 200, "chosen": 500, "rejected": 500}
NUMBER = "0" * 32
"""Where each pair's own number goes, in its texts."""
FILL = """
INSERT INTO stored_events (originator_id, originator_version, topic, state, event_id, command_index, command_id,
    actor_subject, actor_kind, correlation_id)
SELECT md5(pair::text)::uuid, version, topic, convert_to(replace(state, %(number)s, md5(pair::text)), 'UTF8'),
    md5('event' || n)::uuid, 0, md5('command' || n)::uuid, 'bench', 'automation', md5(pair::text)::uuid
FROM (
    SELECT n, CASE WHEN n %% 10 < %(opinions)s THEN n - %(opinions)s ELSE n END AS pair,
        CASE WHEN n %% 10 < %(opinions)s THEN 2 ELSE 1 END AS version,
        CASE WHEN n %% 10 < %(opinions)s THEN 'preference.annotated' ELSE 'preference.proposed' END AS topic,
        CASE WHEN n %% 10 < %(opinions)s THEN %(opinion)s ELSE %(proposal)s END AS state
    FROM generate_series(%(first)s::bigint, %(last)s) AS n
) AS numbered ORDER BY n
"""


def run(database: Callable[[], str]) -> Iterator[Result]:
    """Two results a size: how many events a second, and MiB."""
    memory: list[float] = []
    for size in sizes():
        url = database()
        fill(url, size)
        built = json.loads(
            subprocess.run(
                [sys.executable, "-m", __name__, url], capture_output=True, check=True, text=True
            ).stdout.splitlines()[-1]
        )
        memory.append(built["mib"])
        parameters = {"events": size, "pairs": built["pairs"], "seconds": round(built["seconds"], 1)}
        parameters |= {"processor_seconds": round(built["processor"], 1), "helpers": built["helpers"]}
        parameters |= {"helper_mib": built["helper_mib"], "load": round(os.getloadavg()[0], 1)}
        yield Result("build_dataset", parameters, size / built["seconds"], "events/s")
        yield Result("build_dataset_memory", parameters, memory[-1], "MiB", memory[0], f"at {sizes()[0]:,}")


def sizes() -> tuple[int, ...]:
    """How many events the stores hold."""
    asked = int(os.environ.get("BENCH_EVENTS", SIZES[-1]))
    return (*(size for size in SIZES if size < asked), asked)


def fill(url: str, size: int) -> None:
    """A store with so many preference events."""
    schema.upgrade(url)
    proposal, opinion = _states()
    with psycopg.connect(url, autocommit=True) as db:
        for first in range(10, size + 10, 100_000):
            last = min(first + 99_999, size + 9)
            texts = {"number": NUMBER, "proposal": proposal, "opinion": opinion}
            db.execute(FILL, {"first": first, "last": last, "opinions": OPINIONS, **texts})
        db.execute("VACUUM ANALYZE stored_events")
        db.execute("CHECKPOINT")


def processes() -> int:
    """How many may help."""
    return int(os.environ.get("BENCH_PROCESSES", os.cpu_count() or 1))


class Watched(DraftingProcess):
    """Notes the most memory that it had, in KiB."""

    peaks: ClassVar[list[int]] = []

    def close(self) -> None:
        """Ends it."""
        self.peaks.append(_peak_kib(self.process.pid))
        super().close()


def _states() -> tuple[str, str]:
    """A proposal and an opinion, as they are stored."""
    preference = a_preference()
    chosen, rejected, prompt = (
        (f"{name} {NUMBER} " + "words of many kinds " * (length // 20))[:length] for name, length in TEXTS.items()
    )
    preference.proposed = preference.pair = a_pair(rejected, prompt, chosen)
    preference.annotate(Verdict.FLIPPED, "", at=NOW)
    mapper = PlainJsonMapper()
    first, second = (json.loads(mapper.to_stored_event(event).state) for event in preference.pending_events)
    return json.dumps(first | {"pair": second["pair"]}), json.dumps(second)


def main(url: str) -> None:
    """Asks for a dataset of all there is, builds it, and prints what that took."""
    collect_rarely()
    began = time.perf_counter()
    with closing(PostgresEventStore(url)) as store, TemporaryDirectory() as folder:
        bus = CommandBus(handlers(KINDS, JsonRoster(), BASE_MODELS), store.session, store)
        wanted = RequestDataset(recipe=Recipe(parts=(Part("test", 10),)))
        dataset = bus.execute(wanted, envelope()).id
        drafter = SharedDrafter(store, url, processes(), helper=Watched)
        BuildDataset(store, drafter, DatasetFolder(Path(folder)), bus.execute, BENCH).ensure(dataset)
        seconds = time.perf_counter() - began
        built = store.history(dataset)[-1].event
    processor = time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    peak = _peak_kib() / 1024
    pairs = sum(file.pairs for file in built.files)  # type: ignore[attr-defined]
    found = {"seconds": seconds, "processor": processor, "mib": peak, "pairs": pairs}
    helper = round(max(Watched.peaks, default=0) / 1024)
    sys.stdout.write(json.dumps(found | {"helpers": len(Watched.peaks), "helper_mib": helper}) + "\n")


def _peak_kib(pid: int | None = None) -> int:
    """Of that process, or this one, alone: on Linux `ru_maxrss` begins with what the process had that started it."""
    status = Path(f"/proc/{pid or 'self'}/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


if __name__ == "__main__":
    main(sys.argv[1])
