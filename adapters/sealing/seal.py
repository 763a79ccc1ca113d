"""A seal: the signed root of the tree over all events up to a position, chained to the seal before it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self

from sqlalchemy import Connection, select

from adapters.event_tables import SEALS
from adapters.sealing.keys import Keyring, SigningKey
from domain.errors import DomainError

FORMAT = "caravan-seal/1"
STREAMED = 1_000


class NoSeal(DomainError):
    """That is not the JSON of a seal."""


@dataclass(frozen=True, slots=True)
class Seal:
    """`size` events are sealed, the last one at `last_position`; `first_position` is the first that the seal before did
    not cover. `previous` is that seal's hash, None for the first."""

    number: int
    size: int
    root: bytes
    first_position: int
    last_position: int
    sealed_at: datetime
    previous: bytes | None
    key_id: str
    signature: bytes = b""

    @property
    def statement(self) -> bytes:
        """What is signed: all but the signature, as JSON in the canonical form of RFC 8785."""
        said = {name: value for name, value in self.to_json().items() if name != "signature"}
        return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()

    @property
    def hash(self) -> bytes:
        return sha256(self.statement).digest()

    def signed(self, key: SigningKey) -> Seal:
        return replace(self, signature=key.sign(self.statement))

    def signature_fault(self, keyring: Keyring) -> str | None:
        """Why nobody should believe it; None where a key of the keyring signed it."""
        key = keyring.get(self.key_id)
        if key is None:
            return f"seal {self.number} is signed with the key {self.key_id}, which is none of the trusted ones"
        if not key.signed(self.statement, self.signature):
            return f"the signature of seal {self.number} is not that of the key {self.key_id}"
        return None

    def to_json(self) -> dict[str, Any]:
        """As it is shown, anchored and signed: bytes are hex."""
        told = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(self).items()}
        sealed_at = self.sealed_at.astimezone(UTC).isoformat(timespec="microseconds")
        return {"format": FORMAT, **told, "sealed_at": sealed_at}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Raises NoSeal."""
        try:
            previous = told["previous"]
            seal = cls(
                number=int(told["number"]),
                size=int(told["size"]),
                root=bytes.fromhex(told["root"]),
                first_position=int(told["first_position"]),
                last_position=int(told["last_position"]),
                sealed_at=datetime.fromisoformat(told["sealed_at"]),
                previous=None if previous is None else bytes.fromhex(previous),
                key_id=str(told["key_id"]),
                signature=bytes.fromhex(told["signature"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NoSeal(f"that is no seal: {error!r}") from error
        if told.get("format") != FORMAT:
            raise NoSeal(f"that is no seal of the format {FORMAT}")
        return seal


def latest_seal(db: Connection) -> Seal | None:
    """The newest; None where nothing is sealed."""
    return next(iter(seals(db, newest_first=True, limit=1)), None)


def seal_of(db: Connection, number: int) -> Seal | None:
    """The seal of that number, if there is one."""
    return next(iter(seals(db, after=number - 1, limit=1)), None) if number > 0 else None


def covering_seal(db: Connection, position: int) -> Seal | None:
    """The first seal over that position; None where it is not sealed yet."""
    query = select(SEALS).where(SEALS.c.last_position >= position).order_by(SEALS.c.last_position).limit(1)
    row = db.execute(query).mappings().one_or_none()
    return Seal(**row) if row else None


def seals(
    db: Connection, after: int = 0, before: int | None = None, newest_first: bool = False, limit: int | None = None
) -> Iterator[Seal]:
    """Those with after < number < before, in order, streamed."""
    number = SEALS.c.number
    query = select(SEALS).where(number > after)
    if before is not None:
        query = query.where(number < before)
    query = query.order_by(number.desc() if newest_first else number).limit(limit)
    for row in db.execute(query, execution_options={"yield_per": STREAMED}).mappings():
        yield Seal(**row)
