"""What Prometheus reads: the requests of this process, and the work of all of them as the read models show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from loguru import logger
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, func, select

from domain.ports import SealStanding, Standing
from domain.training import TrainingState
from projections import training_runs, workflow_runs
from projections.failures import OUTAGES
from projections.status import status

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds."""


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
        if route != "/v1/stream":
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
    ) -> None:
        self._engine = engine
        self._head = head
        self._relayed = relayed
        self._standings = standings
        self._sealed = sealed

    def collect(self) -> Iterator[Metric]:
        """Nothing while the database is away, rather than old numbers."""
        try:
            with self._engine.connect() as db:
                workflow_time = _workflow_time(db)
                training_speed = _training_speed(db)
            head, relayed = self._head(), self._relayed()
            projections = status(self._engine, head)
            policies = self._standings()
            seals = self._sealed()
        except OUTAGES as outage:
            logger.warning("no metrics of the work: {}", outage)
            return
        yield workflow_time
        yield training_speed
        yield GaugeMetricFamily(
            "caravan_relay_lag", "Positions that NATS was not told of yet", value=max(0, head - relayed)
        )
        yield GaugeMetricFamily("caravan_seal_lag", "Positions that are not sealed yet", value=seals.unsealed)
        yield _anchor_lag(seals)
        yield from _readers("projection", [(one.name, one.lag, one.parked) for one in projections])
        yield from _readers("policy", [(one.policy, max(0, head - one.position), one.parked) for one in policies])


def _anchor_lag(seals: SealStanding) -> Metric:
    lag = GaugeMetricFamily("caravan_anchor_lag", "Positions that no anchor covers yet", labels=["place"])
    for place, position in seals.anchored.items():
        lag.add_metric([place], max(0, seals.head - position))
    return lag


def _readers(kind: str, standings: Sequence[tuple[str, int, int]]) -> Iterator[Metric]:
    """`standings`: name, lag and parked of each."""
    lag = GaugeMetricFamily(f"caravan_{kind}_lag", "Positions behind the log's head", labels=[kind])
    parked = GaugeMetricFamily(f"caravan_{kind}_parked", "Events that could not be handled", labels=[kind])
    for name, positions, events in standings:
        lag.add_metric([name], positions)
        parked.add_metric([name], events)
    yield lag
    yield parked


def _workflow_time(db: Connection) -> Metric:
    run = workflow_runs.TABLE.c
    seconds = func.extract("epoch", func.sum(run.finished_at - run.started_at))
    query = select(run.kind, run.state, func.count(), seconds).where(run.finished_at.is_not(None))
    family = SummaryMetricFamily(
        "caravan_workflow_seconds", "From a run's first start to its end", labels=["kind", "state"]
    )
    for kind, state, runs, total in db.execute(query.group_by(run.kind, run.state)):
        family.add_metric([kind, state], runs, float(total or 0))
    return family


def _training_speed(db: Connection) -> Metric:
    run = training_runs.TABLE.c
    query = select(func.coalesce(func.sum(run.samples_per_second), 0)).where(run.state == TrainingState.RUNNING.value)
    speed = float(db.execute(query).scalar_one())
    return GaugeMetricFamily(
        "caravan_training_samples_per_second", "Of all running trainings, at their last step", value=speed
    )
