"""One seed of the simulation: what happens, in which order, and who dies at what."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import psycopg
from psycopg.sql import SQL, Identifier

from adapters import schema
from tests.faults.crashes import Fate
from tests.faults.world import PROJECTORS, World

ACTIONS = 40


def prepare(database_url: str) -> None:
    """Makes our tables in an empty database. The server does not die here, so nobody has to wait for the disk."""
    schema.upgrade(database_url)
    with psycopg.connect(database_url, autocommit=True) as db:
        database = Identifier(db.info.dbname)
        db.execute(SQL("ALTER DATABASE {} SET synchronous_commit = off").format(database))


def simulate(database_url: str, seed: int) -> list[str]:
    """What was violated. The database must be prepared; it is emptied."""
    with closing(World(database_url, seed)) as world:
        for _ in range(ACTIONS):
            _act(world)
        world.recover()
        return world.violations()


def _act(world: World) -> None:
    chance = world.chance
    subscriber = chance.choice(list(PROJECTORS))
    death = chance.choice([None, chance.randrange(12)])
    actions: dict[Callable[[], None], int] = {
        lambda: world.clients.send(): 10,
        lambda: world.clients.send(chance.choice(list(Fate))): 10,
        lambda: world.clients.send_again(chance.choice(list(Fate))): 6,
        lambda: world.play(chance.randrange(16)): 2,
        lambda: world.play(): 1,
        lambda: world.propose_pairs(chance.randrange(3)): 2,
        lambda: world.propose_pairs(dying_at=death): 2,
        lambda: world.publish(): 4,
        lambda: world.follow(death): 10,
        lambda: world.count(death): 4,
        lambda: world.deliver(subscriber, death): 10,
        lambda: world.poll(subscriber, death): 2,
        lambda: world.rebuild(subscriber, chance.randrange(40)): 1,
        lambda: world.rebuild(subscriber): 1,
        lambda: world.news.duplicate(subscriber): 1,
        lambda: world.news.drop(subscriber): 1,
        lambda: world.news.reorder(subscriber, chance): 1,
        lambda: world.news.wipe(): 1,
        lambda: world.pass_time(): 2,
    }
    (act,) = chance.choices(list(actions), weights=list(actions.values()))
    act()
