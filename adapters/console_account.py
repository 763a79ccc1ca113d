"""The console's own account at NATS. It faces people, so it is to see nothing of ours there, and gets one bucket."""

from __future__ import annotations

from adapters.kv import Bucket

USER = "console"
SESSIONS = Bucket("sessions", seconds=12 * 3600, most_bytes=32 * 2**20)
"""Who is signed in, and what they typed and have not sent."""

MAY_PUBLISH = (
    SESSIONS.subjects,
    f"$JS.API.STREAM.CREATE.{SESSIONS.stream}",
    f"$JS.API.STREAM.UPDATE.{SESSIONS.stream}",
    f"$JS.API.DIRECT.GET.{SESSIONS.stream}.>",
)
"""Nothing by which keys could be listed."""
MAY_HEAR = ("_INBOX.>",)
"""The answers to its own requests: nobody else is in its account."""
