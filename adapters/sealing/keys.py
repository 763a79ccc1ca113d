"""The keys that seals are signed with: Ed25519, the private one in a file for its owner, the public ones beside.

To change keys, move the private file away: the sealer makes another at its next seal. Its public half is added to the
file of public keys, where those before it stay, since what they signed is still to be checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from adapters.durable_files import sync, write_private
from domain.errors import DomainError

_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
FORBIDDEN = 0o027
"""The permissions that a private key must not have: its group may read it, as secrets are mounted, others nothing."""


class KeyUnusable(DomainError):
    """A file does not hold the key that it should, or too many may read it."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Checks signatures. Its id is the beginning of the SHA-256 of its 32 bytes, in hex."""

    key: Ed25519PublicKey

    @property
    def id(self) -> str:
        return sha256(self.key.public_bytes_raw()).hexdigest()[:16]

    @property
    def pem(self) -> str:
        return self.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def signed(self, statement: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's."""
        try:
            self.key.verify(signature, statement)
        except InvalidSignature:
            return False
        return True


Keyring = Mapping[str, PublicKey]
"""The public keys that are trusted, by id."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs seals."""

    key: Ed25519PrivateKey

    @classmethod
    def kept_in(cls, file: Path) -> Self:
        """The key in that file, made where there is none. Raises KeyUnusable."""
        try:
            if not file.exists():
                _make(file)
            if file.stat().st_mode & FORBIDDEN:
                raise KeyUnusable(f"others may use the seals' key {file}: `chmod 600` it, or make a new one")
            key = load_pem_private_key(file.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise KeyUnusable(f"the seals' key {file} cannot be used: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyUnusable(f"the seals' key {file} is not an Ed25519 key")
        return cls(key)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key())

    def sign(self, statement: bytes) -> bytes:
        return self.key.sign(statement)


def read_keyring(file: Path) -> Keyring:
    """The public keys in that file, one PEM after the other; none where it is missing. Raises KeyUnusable."""
    if not file.exists():
        return {}
    keys = []
    for pem in _PEM.findall(file.read_bytes()):
        try:
            key = load_pem_public_key(pem)
        except ValueError as error:
            raise KeyUnusable(f"{file} holds what is no public key: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise KeyUnusable(f"{file} holds a key that is not Ed25519")
        keys.append(PublicKey(key))
    return {key.id: key for key in keys}


def add_to_keyring(file: Path, key: PublicKey) -> None:
    """Puts the key at the end of the file, unless it is in there. The file is the old or the new one, whole."""
    if key.id not in read_keyring(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, (file.read_text() if file.exists() else "") + key.pem)


def _make(file: Path) -> None:
    """Of two who do so at the same time, one finds the other's key."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with NamedTemporaryFile(dir=file.parent) as draft:  # 0600 from the first byte on
        draft.write(pem)
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            file.hardlink_to(draft.name)
        sync(file.parent)
