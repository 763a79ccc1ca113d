"""`python -m adapters.draft_process DESCRIPTOR`: drafts pages of a dataset for adapters.shared_drafts, until there is
nobody on the other end. It is told an Order, then spans of positions, and answers each with its Page, in MessagePack.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from multiprocessing.connection import Connection

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from adapters.event_recorder import UNREACHABLE, UTF8
from adapters.lives import Lives
from adapters.shared_drafts import Order, Span
from domain.dataset_drafts import Drafting, Page
from domain.dataset_rows import BEGINNING, TELLING


def main(descriptor: int) -> None:
    """A page is sent while the next one is drafted."""
    gc.disable()  # drafts are no cycles
    with suppress(EOFError, OSError), Connection(descriptor) as other, ThreadPoolExecutor(1) as sender:
        order = msgspec.msgpack.decode(other.recv_bytes(), type=Order)
        sent = sender.submit(lambda: None)
        for page in _pages(order, other):
            content = msgspec.msgpack.encode(page)
            sent.result()
            sent = sender.submit(other.send_bytes, content)


def _pages(order: Order, other: Connection) -> Iterator[Page]:
    drafting, spans = Drafting(order.filter, order.recipe), msgspec.msgpack.Decoder(Span)
    address = make_conninfo(order.database_url, **UNREACHABLE, **UTF8)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET enable_sort = off")
        lives = Lives(lambda: nullcontext(connection))
        while True:
            span = spans.decode(other.recv_bytes())
            yield drafting.page(lives.read(BEGINNING, order.position, TELLING, *span))


if __name__ == "__main__":
    main(int(sys.argv[1]))
