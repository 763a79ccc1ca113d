"""The person at the screen: their session, what their role allows, and what they typed and have not sent."""

from __future__ import annotations

from typing import Any, NoReturn

import streamlit as st

from ui.api import Api
from ui.doors import session_ids
from ui.session import Role, Session
from ui.sessions import SESSIONS

_RELOAD = "<script>window.location.reload()</script>"


def arrive() -> Session:
    """The sign-in of a person who opens a page, or does something on it. Parts of a page that are drawn again by
    themselves do not come by here, and so do not keep an idle session open."""
    return _or_leave(SESSIONS.use(_ids()))


def session() -> Session:
    """The sign-in behind this page. Without one the browser is sent to the sign-in page."""
    return _or_leave(SESSIONS.find(_ids()))


def _ids() -> list[str]:
    return session_ids(st.context.headers.get("Cookie") or "")


def _or_leave(found: Session | None) -> Session:
    if found is None:
        leave()
    return found


def api() -> Api:
    """The gateway, in this person's name."""
    return session().api


def leave() -> NoReturn:
    """Loads the page anew; without a session that leads to the sign-in page, and from there back here."""
    st.html(_RELOAD, unsafe_allow_javascript=True)
    st.stop()


def sign_out() -> NoReturn:
    """Ends the session, in every tab."""
    SESSIONS.close(session())
    leave()


def needs(role: Role, unless: str = "", help: str | None = None) -> dict[str, Any]:
    """Arguments for a widget that only this role and those above it may use: others see it disabled, with the reason.
    `unless` is another reason for which nobody can use it now; `help` is what those who can use it may read."""
    mine = session().role
    if mine < role:
        return {"disabled": True, "help": f"This needs the role {role}; your token has the role {mine}."}
    return {"disabled": True, "help": unless} if unless else {"help": help}


def draft(name: str, default: Any) -> Any:
    """What was last put into that field and not sent. Survives a reload."""
    return session().drafts.get(name, default)


def keep_draft(name: str, value: object) -> None:
    """Keeps it until it is sent or given up."""
    mine = session()
    mine.drafts[name] = value
    SESSIONS.keep(mine)


def drop_drafts(prefix: str) -> None:
    """Forgets what was put into the fields whose names begin so: it is sent, or given up."""
    mine = session()
    for name in [name for name in mine.drafts if name.startswith(prefix)]:
        del mine.drafts[name]
    SESSIONS.keep(mine)
