"""What a span belongs to, and that tracing costs nobody their work."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from loguru import logger
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, StatusCode

from adapters.telemetry import export, tracing, work
from commands.policies.run_training import RunTraining
from domain.errors import DomainError
from domain.events import Envelope
from domain.ports.events import Written
from gateway.settings import Settings
from tests.builders import a_progress
from tests.fakes import an_envelope
from tests.otlp_collector import otlp_collector
from tests.outages import patience
from tests.played_runs import ENVELOPE, Crash, Mortal, Stage
from tests.scripted_agents import ScriptedAgents, a_spec
from tests.unit.commands.policies.test_run_training import AUTOMATION, Gym

CAUSE = str(ENVELOPE.traceparent)
TRACE, REQUEST = int("ab" * 16, 16), int("cd" * 8, 16)
SPECS = [a_spec("anna"), a_spec("ben"), a_spec("cleo")]


def stored(_command: object, envelope: Envelope) -> Written:
    recorded.append(envelope)
    return Written(envelope.correlation_id, 3, 7)


recorded: list[Envelope] = []


def exported(url: str, monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    """As a worker does; this process keeps no provider for other tests."""
    monkeypatch.setattr(trace, "set_tracer_provider", lambda provider: None)
    return export.exported("worker", str(tracing.endpoint(url)))


def test_what_follows_from_an_event_is_part_of_its_trace(spans: InMemorySpanExporter) -> None:
    with tracing.span("policy", cause=CAUSE), tracing.span("command", cause=CAUSE):
        pass
    command, policy = spans.get_finished_spans()
    assert policy.parent
    assert (policy.parent.trace_id, policy.parent.span_id) == (TRACE, REQUEST)
    assert command.parent == policy.context, "within the same trace, the work around it is the parent"


def test_another_trace_around_it_is_not_mixed_in(spans: InMemorySpanExporter) -> None:
    with tracing.span("a request"), tracing.span("policy", cause=CAUSE):
        pass
    policy, request = spans.get_finished_spans()
    assert policy.context.trace_id == TRACE != request.context.trace_id


def test_events_follow_from_the_command_that_recorded_them(spans: InMemorySpanExporter) -> None:
    recorded.clear()
    work.command(stored, Stage(SPECS), ENVELOPE)
    (command,) = spans.get_finished_spans()
    (envelope,) = recorded
    assert envelope.traceparent == f"00-{TRACE:032x}-{command.context.span_id:016x}-01"
    assert replace(envelope, traceparent=CAUSE) == ENVELOPE
    assert command.name == "command Stage"
    assert command.attributes
    assert command.attributes["caravan.position"] == 7


@pytest.mark.parametrize(("error", "status"), [(DomainError("no"), StatusCode.UNSET), (OSError("!"), StatusCode.ERROR)])
def test_a_defect_is_an_error_a_refusal_is_none_and_the_words_of_neither_are_told(
    spans: InMemorySpanExporter, error: Exception, status: StatusCode
) -> None:
    with pytest.raises(type(error)), tracing.span("it"):
        raise error
    (span,) = spans.get_finished_spans()
    assert (span.status.status_code, span.events) == (status, ())
    assert span.attributes
    assert span.attributes["error.type"] == type(error).__name__


async def test_a_run_that_is_taken_over_has_a_second_consumer_in_the_same_trace(spans: InMemorySpanExporter) -> None:
    stage = Stage(SPECS)
    run = stage.request("Why?")
    mortal = Mortal(stage.store.bus().execute, 4)
    with pytest.raises(Crash):
        await stage.worker(ScriptedAgents(), "w1", mortal, span=work.work).play(run)
    await stage.worker(ScriptedAgents(), "w2", span=work.work).play(run)
    taken = [span for span in spans.get_finished_spans() if span.name == "run-workflow"]
    assert [span.attributes and span.attributes["caravan.epoch"] for span in taken] == [1, 2]
    assert {span.parent and span.parent.span_id for span in taken} == {REQUEST}
    steps = [span for span in spans.get_finished_spans() if span.name == "step answer"]
    assert {step.parent and step.parent.span_id for step in steps} == {span.context.span_id for span in taken}


def test_a_trainings_progress_and_end_are_part_of_it(spans: InMemorySpanExporter, tmp_path: Path) -> None:
    gym = Gym(tmp_path)
    gym.trainer.script = lambda on_progress, _cancelled: on_progress(a_progress(1))
    run, execute = gym.a_run(), partial(work.command, gym.bus.execute)
    files = gym.dataset_file, gym.dataset_again
    ports = gym.store, execute, gym.trainer, *files, gym.workers, "me", AUTOMATION, patience()
    RunTraining(*ports, span=work.work).train(run, lambda: False)
    finished = spans.get_finished_spans()
    (training,) = [span for span in finished if span.name == "run-training"]
    parts = [span.name for span in finished if span.parent == training.context]
    assert parts == ["command RecordProgress", "command CompleteTraining"]


def test_only_sampled_news_has_spans(spans: InMemorySpanExporter) -> None:
    row = {"topic": "workflow.requested", "notification_id": 1, "traceparent": CAUSE}
    others = [row | {"traceparent": other} for other in (f"{CAUSE[:-2]}00", "no traceparent", "", None)]
    work.published([row, *others], time.time_ns())
    (span,) = spans.get_finished_spans()
    assert span.name == "publish workflow.requested"
    assert span.attributes
    assert span.attributes["messaging.batch.message_count"] == 5


async def test_without_traces_log_lines_name_run_step_and_trace_all_the_same() -> None:
    stage, logged = Stage(SPECS), list[dict[str, object]]()
    run = stage.request("Why?")
    sink = logger.add(lambda message: logged.append(message.record["extra"]))
    with work.work("run-workflow", stage.store.history(run)[0], run=str(run)), work.work("step", step="1"):
        logger.info("it")
    logger.remove(sink)
    (line,) = logged
    assert line.items() >= {"run": str(run), "step": "1", "trace_id": "ab" * 16}.items()


def test_nothing_is_made_where_nobody_asked() -> None:
    with tracing.span("it") as span:
        assert span is INVALID_SPAN
        assert not tracing.is_on()
    recorded.clear()
    work.command(stored, object(), envelope := an_envelope())
    assert recorded == [envelope]


@pytest.mark.parametrize(
    ("base", "variables", "endpoint"),
    [
        ("", {}, None),
        ("http://otel:4318/", {}, "http://otel:4318/v1/traces"),
        ("http://otel:4318", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://tempo/t"}, "http://tempo/t"),
        ("http://otel:4318", {"OTEL_SDK_DISABLED": "true"}, None),
        ("http://otel:4318", {"OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_opentelemetrys_own_variables_say_where_spans_go(
    base: str, variables: dict[str, str], endpoint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing.endpoint(base) == endpoint


def test_the_standard_name_of_the_endpoint_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318")
    assert str(Settings().otlp_endpoint) == "http://otel:4318/"
    monkeypatch.setenv("CARAVAN_OTLP_ENDPOINT", "http://ours:4318")
    assert str(Settings().otlp_endpoint) == "http://ours:4318/"


def test_spans_are_sent_at_the_end_and_name_their_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with otlp_collector() as collector:
        with exported(collector.url, monkeypatch), tracing.span("it"):
            pass
        assert [(span.name, span.service) for span in collector.spans] == [("it", "caravan-worker")]


def test_a_collector_that_is_away_delays_the_end_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "EXPORT_SECONDS", 10.0)
    monkeypatch.setattr(export, "END_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection and says nothing
        began = time.monotonic()
        with exported(f"http://127.0.0.1:{mute.getsockname()[1]}", monkeypatch), tracing.span("it"):
            pass
        assert time.monotonic() - began < 8, "it would not have waited for the batch"
        for sender in threading.enumerate():
            if sender.name.startswith("OtelBatch"):
                sender.join()  # it complains once, which is not for another test to hear
