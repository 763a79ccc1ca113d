"""Dashboards and alerts ask for nothing that /metrics does not tell."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from promql_parser import AggregateExpr, VectorSelector

from domain.access import Role
from tests.integration.gateway.conftest import Gateway

DEPLOY = Path(__file__).parents[3] / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
MADE_BY_PROMETHEUS = {"up": {"job", "instance"}}


def alerts() -> list[dict[str, str]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def expressions() -> Iterator[str]:
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (alert["expr"] for alert in alerts())


@pytest.fixture(scope="module")
def known(library: Gateway) -> dict[str, set[str]]:
    """Every series that Prometheus can see, and its labels as far as the story gives any."""

    async def look() -> str:
        async with library.client(Role.VIEWER) as viewer:
            await viewer.get("/v1/workflows/none")
            return (await viewer.get("/metrics")).text

    text = asyncio.run(look())
    found = dict(MADE_BY_PROMETHEUS)
    for family in text_string_to_metric_families(text):
        for suffix in SUFFIXES.get(family.type, ()):
            series = family.name + suffix
            found[series] = {label for one in family.samples if one.name == series for label in one.labels}
    return found


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_an_expression_is_promql_about_series_and_labels_that_there_are(
    known: dict[str, set[str]], expression: str
) -> None:
    asked: list[VectorSelector] = []
    by: set[str] = set()

    def visit(node: object) -> bool:
        if isinstance(node, VectorSelector):
            asked.append(node)
        if isinstance(node, AggregateExpr) and node.modifier:
            by.update(node.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    assert asked
    assert {one.name for one in asked} <= known.keys()
    labels = {label for one in asked for label in known[one.name]}
    if all(known[one.name] for one in asked):
        assert by | {matcher.name for one in asked for matcher in one.matchers.matchers} <= labels


def test_every_alert_says_what_to_do_and_how_urgent_it_is() -> None:
    for alert in alerts():
        assert alert["annotations"].keys() == {"summary", "action"}, alert["alert"]
        assert alert["labels"]["severity"] in ("page", "ticket")


def test_every_alert_is_played_by_promtools_tests() -> None:
    played = (DEPLOY / "prometheus" / "alerts.test.yml").read_text()
    for alert in alerts():
        assert played.count(alert["alert"]) >= 2, "once quiet, once raised"


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_can_be_provisioned(file: Path) -> None:
    board = json.loads(file.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert board["uid"] == f"caravan-{file.stem}"
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert all(target["legendFormat"] for target in panel.get("targets", ()))


def test_every_figure_of_the_work_is_shown_or_watched(known: dict[str, set[str]]) -> None:
    shown = " ".join(expressions())
    figures = {re.sub("_(bucket|sum|count|created)$", "", name) for name in known if name.startswith("caravan_")}
    assert {name for name in figures if name not in shown} == set()
