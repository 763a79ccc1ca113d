"""Values in NATS that only those who hold a secret can read, or can have written.

NATS carries news and answers for nothing: whoever gets at it must not find a token there, nor put words into a model's
mouth. What was not written with the secret, for this very key, is a miss.
"""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from adapters.kv import KeyValues

Question = Mapping[str, Any]
"""Everything that determines an answer, as JSON has it."""


class Cache:
    """Answers by their questions. Whoever has the `secret` shares it. `now`: seconds since 1970."""

    def __init__(self, values: KeyValues, secret: str, now: Callable[[], float] = time.time) -> None:
        self._values = values
        self._now = now
        self._secret = secret.encode()

    def get(self, question: Question) -> bytes | None:
        """What was answered; None where nobody knows."""
        key = _digest(question)
        return self._unlocked(key, self._values.get(key), None)

    def put(self, question: Question, answer: bytes) -> None:
        """For those who ask the same later."""
        key = _digest(question)
        self._values.put(key, self._lock(key).encrypt(answer))

    async def find(self, question: Question, within: float) -> bytes | None:
        """As `get`, where the answer is no older than `within` (seconds)."""
        key = _digest(question)
        return self._unlocked(key, await self._values.find(key), within)

    async def keep(self, question: Question, answer: bytes) -> None:
        """As `put`."""
        key = _digest(question)
        await self._values.keep(key, self._lock(key).encrypt(answer))

    def _unlocked(self, key: str, value: bytes | None, within: float | None) -> bytes | None:
        if value is None:
            return None
        try:
            lock = self._lock(key)
            return lock.decrypt(value) if within is None else lock.decrypt_at_time(value, int(within), int(self._now()))
        except InvalidToken:
            return None

    def _lock(self, key: str) -> Fernet:
        return _lock(self._secret, key)


@dataclass(frozen=True, slots=True)
class Lockers:
    """Values, each under a secret of its own, of which nothing is kept: not even its name can be told from the key."""

    values: KeyValues

    def get(self, secret: str) -> bytes | None:
        """The value; None where nothing is under that secret."""
        value = self.values.get(_name(secret))
        try:
            return None if value is None else self._lock(secret).decrypt(value)
        except InvalidToken:
            return None

    def put(self, secret: str, value: bytes) -> bool:
        """Whether it could be put."""
        return self.values.put(_name(secret), self._lock(secret).encrypt(value))

    def delete(self, secret: str) -> bool:
        """Whether nothing is there any more."""
        return self.values.delete(_name(secret))

    def _lock(self, secret: str) -> Fernet:
        return _lock(secret.encode(), self.values.bucket.name)


def _digest(question: Question) -> str:
    canonical = json.dumps(question, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _name(secret: str) -> str:
    return _derived(secret.encode(), "name").hex()


def _lock(secret: bytes, purpose: str) -> Fernet:
    return Fernet(urlsafe_b64encode(_derived(secret, f"lock/{purpose}")))


def _derived(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=f"caravan/kv/{purpose}".encode()).derive(secret)
