"""What Prometheus reads: the requests of this process, and the work of all of them as the read models show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock

from loguru import logger
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, func, select

from domain.ports.events import SealStanding, Standing
from domain.serving import ReplicaStanding, ServingState
from domain.training import TrainingState
from projections import batches, figures, training_runs
from projections.failures import OUTAGES
from projections.figures import Labels, Spread
from projections.figures_onward import JobFigures, RunFigures, StepFigures
from projections.projector import Row
from projections.status import status

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds."""
STREAMS = ("/v1/stream", "/v1/training-runs/{run_id}/log/stream")


class RequestMetrics:
    """How long requests take, and what goes wrong with them. Labels hold routes and kinds, never ids."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "caravan_http_request_seconds",
            "Time from a request's arrival to the end of its answer; streams are left out",
            ("route", "method", "status"),
            registry=registry,
            buckets=BUCKETS,
        )
        self._errors = Counter(
            "caravan_errors", "Requests answered with a problem, by its kind", ("kind",), registry=registry
        )

    def observe(self, route: str, method: str, status: int, seconds: float, problem: str | None) -> None:
        """`route` is the template, e.g. `/v1/workflows/{run_id}`; `problem` the last word of the problem's type."""
        if route not in STREAMS:
            self._seconds.labels(route, method, status).observe(seconds)
        if problem:
            self._errors.labels(problem).inc()


class WorkMetrics(Collector):
    """What the read models say of everybody's work, asked for when Prometheus comes: so it is the same from every
    gateway, and survives their restarts."""

    def __init__(
        self,
        engine: Engine,
        head: Callable[[], int],
        relayed: Callable[[], int],
        standings: Callable[[], Sequence[Standing]],
        sealed: Callable[[], SealStanding],
        serving: Callable[[], Sequence[ReplicaStanding] | None],
    ) -> None:
        self._engine = engine
        self._head = head
        self._relayed = relayed
        self._standings = standings
        self._sealed = sealed
        self._serving = serving
        self._runs, self._steps, self._jobs = RunFigures(), StepFigures(), JobFigures()
        self._looking = Lock()

    def collect(self) -> Iterator[Metric]:
        """Nothing while the database is away, rather than old numbers."""
        try:
            with self._looking, self._engine.connect().execution_options(isolation_level="REPEATABLE READ") as db:
                for settled in (self._runs, self._steps, self._jobs):
                    settled.look(db)
                work = [*_runs(self._runs), *_steps(self._steps), *_work(db, self._runs)]
                job_queues = self._jobs.queues(db, datetime.now(UTC))
            head, relayed = self._head(), self._relayed()
            projections = status(self._engine, head)
            policies = self._standings()
            seals = self._sealed()
        except OUTAGES as outage:
            logger.warning("no metrics of the work: {}", outage)
            return
        yield from work
        yield from _job_queues(job_queues)
        yield GaugeMetricFamily("caravan_log_position", "The last event's position", value=head)
        yield GaugeMetricFamily(
            "caravan_relay_lag", "Positions that NATS was not told of yet", value=max(0, head - relayed)
        )
        yield GaugeMetricFamily("caravan_seal_lag", "Positions that are not sealed yet", value=seals.unsealed)
        yield _anchor_lag(seals)
        yield from _replicas(self._serving() or [])
        yield from _readers("projection", [(one.name, one.lag, one.parked) for one in projections])
        yield from _readers("policy", [(one.policy, max(0, head - one.position), one.parked) for one in policies])


def _runs(runs: RunFigures) -> Iterator[Metric]:
    yield _histogram(
        "caravan_workflow_seconds",
        "From a run's first start to its end",
        ("kind", "state"),
        dict(runs.times),
        figures.RUN_BOUNDS,
    )
    repeated: dict[Labels, float] = {(kind,): count for kind, count in runs.sums.repeated.items()}
    yield _counter(
        "caravan_calls_repeated", "Calls made again, as the one before was not recorded", ("kind",), repeated
    )


def _work(db: Connection, runs: RunFigures) -> Iterator[Metric]:
    yield _histogram(
        "caravan_training_seconds",
        "From a training's first start to its end",
        ("state",),
        figures.training_times(db),
        figures.RUN_BOUNDS,
    )
    yield _training_speed(db)
    failures = {"runs": runs.sums.failures, "trainings": figures.training_failures(db)}
    by_kind: dict[Labels, float] = {
        (queue, kind): count for queue, kinds in failures.items() for kind, count in kinds.items()
    }
    yield _counter("caravan_failures", "Failed runs and trainings", ("queue", "kind"), by_kind)
    takeovers: dict[Labels, float] = {
        ("runs",): runs.sums.takeovers.total(),
        ("trainings",): figures.training_takeovers(db),
    }
    yield _counter("caravan_takeovers", "Work taken from a worker that was gone", ("queue",), takeovers)
    yield from _queues(figures.queues(db))
    unfinished, waiting = batches.unfinished(db)
    yield GaugeMetricFamily("caravan_batches_unfinished", "Batches that are not over", value=unfinished)
    yield GaugeMetricFamily("caravan_batch_tasks_waiting", "Of these, tasks without a run yet", value=waiting)


def _steps(steps: StepFigures) -> Iterator[Metric]:
    yield _histogram("caravan_step_seconds", "A step's model call", ("phase",), dict(steps.times), figures.STEP_BOUNDS)
    yield _counter("caravan_tokens", "As endpoints counted them", ("agent", "model", "type"), dict(steps.tokens))
    yield _counter(
        "caravan_answers", "Steps, by whether the answer was given before", ("agent", "cached"), dict(steps.calls)
    )


def _queues(queues: Sequence[figures.Queue]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("caravan_queue_waiting", "What nobody works on yet", labels=["queue"])
    running = GaugeMetricFamily("caravan_queue_running", "What somebody works on", labels=["queue"])
    oldest = GaugeMetricFamily("caravan_queue_oldest_seconds", "How long the oldest has waited", labels=["queue"])
    for one in queues:
        waiting.add_metric([one.name], one.waiting)
        running.add_metric([one.name], one.running)
        oldest.add_metric([one.name], one.oldest)
    yield from (waiting, running, oldest)


def _counter(name: str, help: str, labels: Sequence[str], values: Mapping[Labels, float]) -> Metric:
    counter = CounterMetricFamily(name, help, labels=labels)
    for named, value in values.items():
        counter.add_metric(named, value)
    return counter


def _histogram(
    name: str, help: str, labels: Sequence[str], spreads: Mapping[Labels, Spread], bounds: Sequence[float]
) -> Metric:
    histogram = HistogramMetricFamily(name, help, labels=labels)
    for named, spread in spreads.items():
        histogram.add_metric(named, list(spread.cumulative(bounds)), spread.seconds)
    return histogram


def _anchor_lag(seals: SealStanding) -> Metric:
    lag = GaugeMetricFamily("caravan_anchor_lag", "Positions that no anchor covers yet", labels=["place"])
    for place, position in seals.anchored.items():
        lag.add_metric([place], max(0, seals.head - position))
    return lag


def _replicas(standings: Sequence[ReplicaStanding]) -> Iterator[Metric]:
    in_step = GaugeMetricFamily("caravan_replica_in_step", "Whether it serves what it should", labels=["replica"])
    adapters = GaugeMetricFamily(
        "caravan_replica_adapters", "Adapters that it should serve, serves, and refuses", labels=["replica", "which"]
    )
    for one in standings:
        in_step.add_metric([one.replica], one.state is ServingState.IN_STEP)
        for which, names in (("wanted", one.wanted), ("served", one.served), ("refused", one.refused)):
            adapters.add_metric([one.replica, which], len(names))
    yield in_step
    yield adapters


def _readers(kind: str, standings: Sequence[tuple[str, int, int]]) -> Iterator[Metric]:
    """`standings`: name, lag and parked of each."""
    lag = GaugeMetricFamily(f"caravan_{kind}_lag", "Positions behind the log's head", labels=[kind])
    parked = GaugeMetricFamily(f"caravan_{kind}_parked", "Events that could not be handled", labels=[kind])
    for name, positions, events in standings:
        lag.add_metric([name], positions)
        parked.add_metric([name], events)
    yield lag
    yield parked


def _training_speed(db: Connection) -> Metric:
    run = training_runs.TABLE.c
    query = select(func.coalesce(func.sum(run.samples_per_second), 0)).where(run.state == TrainingState.RUNNING.value)
    speed = float(db.execute(query).scalar_one())
    return GaugeMetricFamily(
        "caravan_training_samples_per_second", "Of all running trainings, at their last step", value=speed
    )


def _job_queues(queues: Sequence[Row]) -> Iterator[Metric]:
    for name, meaning, column in (
        ("caravan_jobs_waiting", "Jobs that are due and wait for a worker", "depth"),
        ("caravan_jobs_resting", "Jobs that wait for their time", "resting"),
        ("caravan_jobs_running", "Jobs that a worker has", "running"),
        ("caravan_jobs_dead", "Dead letters", "dead"),
        ("caravan_jobs_oldest_seconds", "How long the oldest job has been due", "oldest_seconds"),
    ):
        gauge = GaugeMetricFamily(name, meaning, labels=["queue"])
        for queue in queues:
            gauge.add_metric([queue["queue"]], queue[column])
        yield gauge
    failed = CounterMetricFamily("caravan_job_attempts_failed", "Attempts that ever failed", labels=["queue"])
    for queue in queues:
        failed.add_metric([queue["queue"]], queue["failures"])
    yield failed
