"""API tokens in table `api_tokens`: 256 random bits each, of which only the SHA-256 is kept.

A fast hash is right here: there is nothing to guess in 256 random bits, so there is nothing to slow down.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from sqlalchemy import Engine, RowMapping, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from adapters.event_tables import API_TOKENS
from domain.access import ApiToken, Caller, Role
from domain.errors import AlreadyDone, Invalid, NotFound
from domain.events import Actor, ActorKind

PREFIX = "crv_"
"""Lets people, and scanners for leaked secrets, recognise a token."""

_SECRET_BYTES = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")


class ApiTokens:
    """Issues tokens, takes them back and recognises them. Threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, name: str, role: Role, kind: ActorKind, by: str) -> str:
        """The new token, to be shown once. Raises Invalid, or AlreadyDone for a name that is, or ever was, taken:
        an event's actor must always mean the same person or process."""
        if not _NAME.fullmatch(name):
            raise Invalid(f"token name {name!r} must be up to 63 of a-z, 0-9 and . _ @ -, e.g. ada or ci-runner")
        token = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        row = {"name": name, "role": role.value, "kind": kind.value, "sha256": _digest(token), "created_by": by}
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(API_TOKENS).values(row))
        except IntegrityError as taken:
            raise AlreadyDone(f"there is, or was, a token called {name}; choose another name") from taken
        return token

    def list(self) -> Sequence[ApiToken]:
        """All that were ever issued, the oldest first."""
        query = select(API_TOKENS).order_by(API_TOKENS.c.created_at, API_TOKENS.c.name)
        with self._engine.connect() as connection:
            return [_listed(row) for row in connection.execute(query).mappings()]

    def role_of(self, name: str) -> Role | None:
        """What whoever has the token of that name may do; None where there is none, or it is revoked."""
        query = select(API_TOKENS.c.role).where(API_TOKENS.c.name == name, API_TOKENS.c.revoked_at.is_(None))
        with self._engine.connect() as connection:
            role = connection.execute(query).scalar()
        return role and Role(role)

    def revoke(self, name: str) -> None:
        """A repeat changes nothing. Raises NotFound."""
        with self._engine.begin() as connection:
            known = connection.execute(
                update(API_TOKENS)
                .where(API_TOKENS.c.name == name)
                .values(revoked_at=func.coalesce(API_TOKENS.c.revoked_at, func.now()))
            )
        if not known.rowcount:
            raise NotFound("token", name)

    def caller(self, token: str) -> Caller | None:
        """Whom the token stands for; None for one that was never issued or is revoked."""
        digest = _digest(token)
        query = select(API_TOKENS).where(API_TOKENS.c.sha256 == digest, API_TOKENS.c.revoked_at.is_(None))
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None or not compare_digest(row["sha256"], digest):
            return None
        return Caller(Actor(row["name"], ActorKind(row["kind"])), Role(row["role"]))


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _listed(row: RowMapping) -> ApiToken:
    return ApiToken(
        name=row["name"],
        role=Role(row["role"]),
        kind=ActorKind(row["kind"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        revoked_at=row["revoked_at"],
    )
