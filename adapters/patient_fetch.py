"""Lets FastStream collect batches from NATS without losing them.

When nothing more comes, `fetch` of nats-py 2.16 may raise asyncio's TimeoutError. FastStream 0.7.8 expects nats' own
there; at any other it drops the batch that it has collected so far, and its messages come back only once their
acknowledgement is overdue.
"""

from __future__ import annotations

from typing import Any

from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext


def make_patient(jetstream: JetStreamContext) -> None:
    """From here on, pull subscriptions of this context raise nats' own TimeoutError alone."""
    subscribe = jetstream.pull_subscribe

    async def pull_subscribe(*args: Any, **options: Any) -> JetStreamContext.PullSubscription:
        subscription = await subscribe(*args, **options)
        fetch = subscription.fetch

        async def patient_fetch(*args: Any, **options: Any) -> Any:
            try:
                return await fetch(*args, **options)
            except TimeoutError as error:
                raise NatsTimeoutError from error

        subscription.fetch = patient_fetch  # type: ignore[method-assign]
        return subscription

    jetstream.pull_subscribe = pull_subscribe  # type: ignore[method-assign]
