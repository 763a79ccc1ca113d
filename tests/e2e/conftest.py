"""One whole Caravan for all end-to-end tests, and a browser to look at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.living_caravan import LivingCaravan, living_caravan
from tests.otlp_collector import Collector, otlp_collector
from tests.requirements import needs_chromium

PATIENCE = 30_000
"""How long the browser may take for anything (in milliseconds): two cores run a whole Caravan beside it."""
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def collector() -> Iterator[Collector]:
    """Where the Caravan sends its traces."""
    with otlp_collector() as collector:
        yield collector


@pytest.fixture(scope="package")
def caravan(collector: Collector) -> Iterator[LivingCaravan]:
    tracing = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "500"}
    with living_caravan(CARAVAN_CONCURRENT_RUNS="20", **tracing) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = needs_chromium()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A window of a person without cookies. CARAVAN_SCREENSHOTS names a folder for a picture of how a test ended."""
    context = browser.new_context(viewport={"width": 1360, "height": 1000}, timezone_id="Europe/Vienna")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield page
    if folder := os.environ.get("CARAVAN_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{request.node.name}.png", full_page=True)
    context.close()
