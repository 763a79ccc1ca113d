"""Before Streamlit: the sign-in page, and what every request and answer must satisfy."""

from __future__ import annotations

import html
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.api import Api, ApiError, TokenRefused
from ui.sessions import SESSIONS

COOKIE_PREFIX = "caravan_console_"
OPEN_PATHS = ("/sign-in", "/_stcore/", "/static/", "/favicon")
"""What a browser may fetch before it is signed in: the door itself and Streamlit's own files. Streamlit's WebSocket is
among them: the script that it starts shows nothing without a session."""
SIGN_IN_BYTES = 4096

HEADERS = {
    # Streamlit needs inline and evaluated scripts of its own. Nothing is ever loaded from, or sent to, another host:
    # a picture that a model's output smuggles in cannot carry anything away.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
        "frame-ancestors 'none'; form-action 'self'; base-uri 'self'; object-src 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_PAGE = Template((Path(__file__).parent / "sign_in.html").read_text(encoding="utf-8"))


class SignedInOnly:
    """ASGI middleware: sends whoever is not signed in to the sign-in page, and hardens every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        ids = session_ids(Headers(scope=scope).get("cookie", ""))
        if scope["path"].startswith(OPEN_PATHS) or await run_in_threadpool(SESSIONS.use, ids):
            await self._app(scope, receive, hardened)
            return
        wanted = scope["path"] + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        await RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", 303)(scope, receive, hardened)


def session_ids(cookies: str) -> list[str]:
    """The ids in a Cookie header. Several, because a host's consoles on other ports share its cookies."""
    try:
        parsed = SimpleCookie(cookies)
    except CookieError:
        return []
    return [morsel.value for name, morsel in parsed.items() if name.startswith(COOKIE_PREFIX)]


class SignIn:
    """GET shows the page; POST checks the token with the gateway, and goes on to where the person wanted to be."""

    def __init__(self, cookie: str, open_api: Callable[[str], Api]) -> None:
        self._cookie = cookie
        self._open_api = open_api

    async def __call__(self, request: Request) -> Response:
        if request.method == "GET":
            return _page(request.query_params.get("next", "/"))
        if not _same_origin(request):
            return _page("/", "The form was sent from another site. Send it from here.", 403)
        form = parse_qs((await _body(request)).decode(errors="replace"))
        token, wanted = form.get("token", [""])[0].strip(), form.get("next", ["/"])[0]
        if not (token.isascii() and token.isprintable() and token):
            return _page(wanted, "That is no token. It begins with crv_ and has no spaces.", 422)
        try:
            id = await run_in_threadpool(SESSIONS.open, self._open_api(token))
        except TokenRefused:
            return _page(wanted, "This token is not valid, or was revoked.", 401)
        except ApiError as error:
            return _page(wanted, error.detail, 503)
        answer = RedirectResponse(_local(wanted), 303)
        answer.set_cookie(self._cookie, id, httponly=True, samesite="lax", secure=request.url.scheme == "https")
        return answer


def _page(wanted: str, error: str = "", status: int = 200) -> Response:
    told = f'<p role="alert">{html.escape(error)}</p>' if error else ""
    text = _PAGE.substitute(next=html.escape(_local(wanted)), error=told)
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


def _local(wanted: str) -> str:
    """Where to go on: a path of this console, never another site (`//host`, `/\\host`)."""
    return wanted if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable() else "/"


def _same_origin(request: Request) -> bool:
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > SIGN_IN_BYTES:
            return b""
    return body
