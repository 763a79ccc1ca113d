"""The console as a person uses it: what they click and type, and what they read."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, expect

WORKING = 60_000
"""How long agents, trainer and read models may take for what the person waits for (in milliseconds)."""
HEADER, ROW = 34, 33
"""Heights of a table's parts, in pixels. A table is drawn on a canvas: its rows are chosen by their place."""


class Console:
    """A person at the console."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url
        self._pictures = 0
        self.hosts: set[str] = set()
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def sign_in(self, token: str) -> None:
        self.page.goto(self._url)
        self.page.get_by_label("Your token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()

    def open(self, name: str) -> None:
        """Through the navigation at the left."""
        self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
        self.sees_title(name)

    def press(self, name: str) -> None:
        self.sees_it_drawn()
        self.button(name).click()

    def button(self, name: str) -> Locator:
        return self.page.get_by_test_id("stMain").get_by_role("button", name=name)

    def follow(self, name: str) -> None:
        self.page.get_by_test_id("stMain").get_by_role("link", name=name).click()

    def show(self, part: str) -> None:
        """One of the parts that a page is divided into."""
        self.sees_it_drawn()
        self.page.get_by_test_id("stButtonGroup").get_by_text(part, exact=True).click()

    def type(self, label: str, text: str) -> None:
        """Types and leaves the field, as a click elsewhere would."""
        self.sees_it_drawn()
        field = self.field(label)
        field.fill(text)
        field.blur()

    def text_in(self, label: str) -> str:
        """What stands in a field that is not empty."""
        expect(self.field(label)).not_to_have_value("")
        return self.field(label).input_value()

    def field(self, label: str) -> Locator:
        return self.page.get_by_test_id("stMain").get_by_label(label, exact=True)

    def choose_row(self, number: int) -> None:
        """A row of the page's table, counted from 1."""
        self.sees_it_drawn()
        table = self.page.get_by_test_id("stDataFrame").first
        table.click(position={"x": 16, "y": HEADER + ROW * number - ROW // 2})

    def place(self, parameter: str) -> str:
        """What the address says, such as which `run` is open."""
        return parse_qs(urlsplit(self.page.url).query)[parameter][0]

    def goes_and_comes_back(self) -> None:
        """To another page, which is shown once the console has taken in what was typed here; then loads this one."""
        here = self.page.url
        self.open("Log")
        self.page.goto(here)

    def reload(self) -> None:
        self.page.reload()

    def sees(self, text: str, within: int = WORKING) -> None:
        expect(self.page.get_by_test_id("stMain").get_by_text(text).first).to_be_visible(timeout=within)

    def sees_it_drawn(self) -> None:
        """To its end: before that, parts of the page before may still be on the screen."""
        expect(self.page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")

    def sees_title(self, text: str) -> None:
        expect(self.page.get_by_role("heading", level=1, name=text)).to_be_visible()

    def sees_state(self, state: str) -> None:
        """In the coloured badge below the title."""
        badge = self.page.get_by_test_id("stMain").locator(".stMarkdownBadge").first
        expect(badge).to_have_text(state, timeout=WORKING)

    def sees_told(self, text: str) -> None:
        """In the short message at the corner."""
        expect(self.page.get_by_test_id("stToast").filter(has_text=text).first).to_be_visible()

    def cells(self) -> Locator:
        """What the page's table says: it is drawn on a canvas, which holds its cells for screen readers."""
        return self.page.get_by_test_id("data-grid-canvas").first.locator("[role=gridcell]")

    def picture(self, name: str) -> None:
        """For a person's eyes, where CARAVAN_SCREENSHOTS names a folder for it."""
        if folder := os.environ.get("CARAVAN_SCREENSHOTS"):
            self._pictures += 1
            self.page.wait_for_timeout(1000)
            self.page.screenshot(path=Path(folder) / f"{self._pictures:02}-{name}.png", full_page=True)
