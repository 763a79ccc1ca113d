"""A relay in a process of its own, for tests that kill it. Arguments: the URLs of Postgres and NATS."""

from __future__ import annotations

import asyncio
import sys

from adapters.relay import Relay

asyncio.run(Relay(sys.argv[1], sys.argv[2]).run(asyncio.Event()))
