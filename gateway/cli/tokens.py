"""`caravan tokens` and `caravan login`: who may come in. Straight to the database: whoever runs it owns the machine."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from adapters.durable_files import write_private
from adapters.tokens import ApiTokens
from domain.access import Role
from domain.events import ActorKind
from gateway.bootstrap import open_engine
from gateway.cli.client import Api, credentials_file
from gateway.cli.output import AsJson, console, plain_errors, show
from gateway.settings import Settings
from gateway.stack import located, prepare_home

app = typer.Typer()
tokens = typer.Typer(no_args_is_help=True, help="Tokens: one per person or process.")
app.add_typer(tokens, name="tokens")

COLUMNS = ("name", "role", "kind", "created_at", "created_by", "revoked_at")


@tokens.command()
def create(
    name: Annotated[str, typer.Argument(help="Who it is for; the subject of all that is done with it.")],
    role: Annotated[Role, typer.Option(help="How much it may do.")],
    kind: Annotated[ActorKind, typer.Option(help="What it acts as.")] = ActorKind.HUMAN,
    as_json: AsJson = False,
) -> None:
    """Make a token. It is shown once and kept only as a hash."""
    with plain_errors(), opened() as store:
        token = store.create(name, role, kind, by=getpass.getuser())
    show({"name": name, "role": role.value, "kind": kind.value, "token": token}, as_json)


@tokens.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List all tokens that were ever made, without their secrets."""
    with plain_errors(), opened() as store:
        rows = [asdict(token) for token in store.list()]
    show(rows, as_json, COLUMNS)


@tokens.command()
def revoke(name: str) -> None:
    """Take a token back; it is refused within a second."""
    with plain_errors(), opened() as store:
        store.revoke(name)
    console.print(f"{name} is revoked")


@app.command()
def login(
    token: Annotated[str | None, typer.Option(help="Asked for, or read from a pipe, by default.")] = None,
) -> None:
    """Keep a token for the commands that you type here, in the data folder, for your eyes only."""
    if token is None:
        token = getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
    with plain_errors():
        settings = Settings()
        me = Api(settings.api_url, token).get("/v1/me")
        write_private(credentials_file(prepare_home(settings)), token)
    console.print(f"you are {me['subject']}, {me['role']}")


def first_admin_token() -> str | None:
    """An administrator's token, where none was ever made; None afterwards. Tokens of lesser roles do not count."""
    with opened() as store:
        if any(token.role is Role.ADMIN for token in store.list()):
            return None
        return store.create("admin", Role.ADMIN, ActorKind.HUMAN, by="first start")


@contextmanager
def opened() -> Iterator[ApiTokens]:
    """The tokens of this Caravan's database."""
    engine = open_engine(str(located(Settings()).database_url))
    try:
        yield ApiTokens(engine)
    finally:
        engine.dispose()
