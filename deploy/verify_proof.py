#!/usr/bin/env python3
"""Checks what `caravan audit prove` and `caravan audit consistency` write, with nothing of Caravan's.

    python verify_proof.py PROOF.json PUBLIC_KEYS.pem

Needs Python 3.9 or newer and the package `cryptography`. PUBLIC_KEYS.pem is what `caravan audit key` prints: get and
keep it apart from the proof. The exit code is 0 where all of it holds, 1 where something does not, and 2 where a file
cannot be read.

What is checked, in this order:
1. the seal is signed with one of the public keys (Ed25519, over the seal without its signature);
2. the event's hash, by way of the audit path, gives the root in the seal (RFC 9162, section 2.1.3.2);
   or, for two seals, the older tree is the beginning of the newer one (section 2.1.4.2);
3. the data, where the proof brings it, is what the event's commitment says: SHA-256 of salt and data.

Seals and events are hashed as JSON in the canonical form of RFC 8785: keys in order, no spaces, UTF-8.
"""

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


class Wrong(Exception):
    """The proof does not prove what it says."""


def canonical(value: Any) -> bytes:
    """RFC 8785, for values without fractions."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def leaf_hash(data: bytes) -> bytes:
    """Of a leaf of the tree."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of a node with these children."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_from_inclusion(leaf: bytes, index: int, size: int, path: "list[bytes]") -> bytes:
    """The root that the path leads to (RFC 9162, 2.1.3.2). Raises Wrong for a path of the wrong length."""
    if not 0 <= index < size:
        raise Wrong(f"there is no leaf {index} in a tree of {size}")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            raise Wrong("the audit path is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Wrong("the audit path is too short")
    return r


def roots_from_consistency(first: int, second: int, root: bytes, path: "list[bytes]") -> "tuple[bytes, bytes]":
    """The roots of both trees that the path leads to (RFC 9162, 2.1.4.2); `root` is the first one's. Raises Wrong."""
    if not 0 < first <= second:
        raise Wrong(f"a tree of {first} is not the beginning of one of {second}")
    if first == second:
        if path:
            raise Wrong("the consistency path is too long")
        return root, root
    path = [root, *path] if first & (first - 1) == 0 else list(path)
    if not path:
        raise Wrong("the consistency path is too short")
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise Wrong("the consistency path is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Wrong("the consistency path is too short")
    return fr, sr


def check_signature(seal: "dict[str, Any]", pems: bytes) -> None:
    """Raises Wrong unless one of the keys signed the seal."""
    statement = canonical({name: value for name, value in seal.items() if name != "signature"})
    signature = bytes.fromhex(seal["signature"])
    for pem in PEM.findall(pems):
        key = load_pem_public_key(pem)
        if not isinstance(key, Ed25519PublicKey):
            continue
        try:
            key.verify(signature, statement)
        except InvalidSignature:
            continue
        return
    raise Wrong(f"none of the public keys signed seal {seal['number']} (it names the key {seal['key_id']})")


def check_data(proof: "dict[str, Any]") -> str:
    """What can be said of the data. Raises Wrong where it is not what was committed to."""
    event, data, salt = proof["event"], proof.get("data"), proof.get("salt")
    if data is None:
        return "the data is not part of the proof"
    if event["commitment"] is None:
        committed, hashed = event["state_sha256"], hashlib.sha256(data.encode())
    elif salt is None:
        raise Wrong("there is data without the salt that would prove it")
    else:
        committed, hashed = event["commitment"], hashlib.sha256(bytes.fromhex(salt) + data.encode())
    if hashed.hexdigest() != committed:
        raise Wrong("the data is not what the event's commitment says")
    return "the data is what was recorded"


def check(proof: "dict[str, Any]", pems: bytes) -> str:
    """What the proof proves, in a sentence. Raises Wrong."""
    if proof["format"] == "caravan-inclusion/1":
        seal, event = proof["seal"], proof["event"]
        check_signature(seal, pems)
        path = [bytes.fromhex(hash) for hash in proof["audit_path"]]
        root = root_from_inclusion(leaf_hash(canonical(event)), proof["leaf_index"], seal["size"], path)
        if root.hex() != seal["root"]:
            raise Wrong(f"the event is not in the tree of seal {seal['number']}")
        return (
            f"event {event['event_id']} ({event['type']}) is at position {event['position']} of the log that was sealed"
            f" at {seal['sealed_at']}; {check_data(proof)}"
        )
    if proof["format"] == "caravan-consistency/1":
        first, second = proof["first"], proof["second"]
        check_signature(first, pems)
        check_signature(second, pems)
        path = [bytes.fromhex(hash) for hash in proof["consistency_path"]]
        roots = roots_from_consistency(first["size"], second["size"], bytes.fromhex(first["root"]), path)
        if [root.hex() for root in roots] != [first["root"], second["root"]]:
            raise Wrong(f"the log of seal {second['number']} is not that of seal {first['number']} and more")
        return f"the log of seal {second['number']} is that of seal {first['number']}, and more"
    raise Wrong(f"a proof of the format {proof['format']} is none that this program knows")


def main(arguments: "list[str]") -> int:
    """The exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: verify_proof.py PROOF.json PUBLIC_KEYS.pem\n")
        return 2
    try:
        proof, pems = json.loads(Path(arguments[0]).read_text("utf-8")), Path(arguments[1]).read_bytes()
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot be read: {error}\n")
        return 2
    try:
        said = check(proof, pems)
    except Wrong as error:
        sys.stdout.write(f"WRONG: {error}\n")
        return 1
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        sys.stdout.write(f"WRONG: this is no whole proof, or that is no public key: {error!r}\n")
        return 1
    sys.stdout.write(f"PROVEN: {said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
