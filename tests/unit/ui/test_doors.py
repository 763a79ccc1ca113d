from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.unit.ui.scripted_gateway import ScriptedGateway
from ui.api import Api
from ui.doors import SignedInOnly, SignIn, session_ids

EVA = {"subject": "eva", "kind": "human", "role": "operator"}


@pytest.fixture
def browser(gateway: ScriptedGateway) -> Iterator[TestClient]:
    """At a console that shows the same secret on every page."""
    sign_in = SignIn("caravan_console_1", partial(Api, gateway.url))
    routes = [
        Route("/sign-in", sign_in.__call__, methods=["GET", "POST"]),
        Route("/{page:path}", lambda request: PlainTextResponse("the secret")),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(SignedInOnly)])
    with TestClient(app, base_url="http://console", follow_redirects=False) as client:
        yield client


def test_a_stranger_is_sent_to_the_sign_in_page_and_from_there_back(browser, gateway):
    refused = browser.get("/runs?run=1")
    assert refused.status_code == 303
    page = browser.get(refused.headers["location"])
    assert 'value="/runs?run=1"' in page.text
    gateway.answers_with(EVA)
    signed_in = browser.post("/sign-in", data={"token": "crv_secret", "next": "/runs?run=1"})
    assert signed_in.headers["location"] == "/runs?run=1"
    assert browser.get("/runs?run=1").text == "the secret"


def test_the_browser_gets_a_cookie_that_no_script_reads_and_that_is_not_the_token(browser, gateway):
    gateway.answers_with(EVA)
    cookie = browser.post("/sign-in", data={"token": "crv_secret"}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "crv_secret" not in cookie


def test_a_wrong_token_is_told_and_opens_nothing(browser, gateway):
    gateway.answers_with({"title": "Unauthorized", "detail": "not valid"}, status=401)
    answer = browser.post("/sign-in", data={"token": "crv_wrong"})
    assert answer.status_code == 401
    assert "not valid" in answer.text
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize("token", ["", "  ", "crv_\nwith a line break", "crv_ünicode", "x" * 5000])
def test_what_is_no_token_is_refused_before_the_gateway_sees_it(browser, gateway, token):
    assert browser.post("/sign-in", data={"token": token}).status_code == 422
    assert gateway.requests == []


def test_a_gateway_that_is_down_is_told_with_the_way_to_start_it():
    sign_in = SignIn("caravan_console_1", partial(Api, "http://127.0.0.1:1"))
    with TestClient(Starlette(routes=[Route("/sign-in", sign_in.__call__, methods=["POST"])])) as client:
        answer = client.post("/sign-in", data={"token": "crv_secret"})
    assert answer.status_code == 503
    assert "caravan up" in answer.text


@pytest.mark.parametrize("wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nX: y"])
def test_signing_in_never_leads_to_another_site(browser, gateway, wanted):
    gateway.answers_with(EVA)
    assert browser.post("/sign-in", data={"token": "crv_secret", "next": wanted}).headers["location"] == "/"


def test_a_form_of_another_site_is_refused(browser, gateway):
    answer = browser.post("/sign-in", data={"token": "crv_secret"}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
    assert gateway.requests == []


def test_where_one_wanted_to_be_is_escaped_in_the_page(browser):
    page = browser.get("/sign-in", params={"next": '/"><script>alert(1)</script>'})
    assert "<script>" not in page.text


def test_no_answer_lets_a_page_load_or_send_anything_elsewhere(browser):
    for path in ("/sign-in", "/runs", "/static/index.js"):
        headers = browser.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"


def test_cookies_of_consoles_on_other_ports_are_read_too_and_others_are_not():
    header = "caravan_console_1=one; other=x; caravan_console_2=two"
    assert session_ids(header) == ["one", "two"]
    assert session_ids("") == []
