"""The console's process: Streamlit, behind a sign-in page of ours. `python -m ui.serve` runs it."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from ui.api import Api
from ui.doors import COOKIE_PREFIX, SignedInOnly, SignIn
from ui.keeping import Lockers
from ui.sessions import SESSIONS

HERE = Path(__file__).parent
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(host: str, port: int, api_url: str, lockers: Lockers | None = None) -> None:
    """Runs the console for the gateway at `api_url`, until the process is told to end. Sessions are kept in `lockers`,
    where there are any, for the next process."""
    open_api = partial(Api, api_url)
    if lockers:
        SESSIONS.keep_in(lockers, open_api)
    sign_in = SignIn(f"{COOKIE_PREFIX}{port}", open_api)
    app = st.App(
        HERE / "app.py",
        routes=[Route("/sign-in", sign_in.__call__, methods=["GET", "POST"])],
        middleware=[Middleware(SignedInOnly)],
        on_script_error=_apologise,
    )
    app.run(config=_settings(host, port))


def _apologise(_: Exception) -> bool:
    """Streamlit has logged the error; the person is told so, without its words."""
    st.error("Something went wrong here. The console’s log has the details.", icon=":material/error:")
    return True


def _settings(host: str, port: int) -> dict[str, object]:
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        # A page of another site that resolves its own name to this machine gets no further than a host that it is not.
        "server.allowedHosts": list(LOOPBACK) if host in LOOPBACK else ["*"],
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "theme.base": str(HERE / "theme.toml"),
    }


def main() -> None:
    """The console as a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m ui.serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--api-url", default=os.environ.get("CARAVAN_API_URL", "http://127.0.0.1:8400"))
    arguments = parser.parse_args()
    serve(arguments.host, arguments.port, arguments.api_url)


if __name__ == "__main__":
    main()
