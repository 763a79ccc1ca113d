"""The Merkle tree of RFC 9162 (Certificate Transparency), section 2.1: its hashes, roots and proofs.

All is computed from the hashes of perfect subtrees, which a `Node` function gives, so that nobody needs all leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()

Node = Callable[[int, int], bytes]
"""`node(level, index)`: the hash over the leaves from index * 2**level up to (index + 1) * 2**level."""


def leaf_hash(data: bytes) -> bytes:
    """The prefix keeps leaves and nodes from being taken for each other."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node with these children."""
    return sha256(b"\1" + left + right).digest()


def merged(hashes: Sequence[bytes]) -> bytes:
    """The hash over neighbours of one level, a power of two of them."""
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]


def root(size: int, node: Node) -> bytes:
    """Of the tree over the first `size` leaves."""
    return _range_hash(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """That the leaf of that index, from 0 on, is in the tree over the first `size` leaves; from the leaf up."""
    return _inclusion(index, 0, size, node)


def consistency_proof(first: int, second: int, node: Node) -> list[bytes]:
    """That the tree over `second` leaves begins with the one over `first` leaves, where 0 < first <= second."""
    return _consistency(first, 0, second, node, known=True)


class CompactRange:
    """The right edge of a growing tree: enough to know its root, however many leaves it has."""

    def __init__(self, size: int = 0, edge: Sequence[bytes] = ()) -> None:
        self.size = size
        self._edge = list(edge)

    def extended(self, leaves: Iterable[bytes]) -> CompactRange:
        """Another one, with these leaf hashes more."""
        longer = CompactRange(self.size, self._edge)
        for leaf in leaves:
            longer._append(leaf)
        return longer

    @property
    def root(self) -> bytes:
        """Of the tree over all leaves so far."""
        if not self._edge:
            return EMPTY_ROOT
        *larger, hash = self._edge
        for left in reversed(larger):
            hash = node_hash(left, hash)
        return hash

    def _append(self, hash: bytes) -> None:
        complete = self.size
        while complete & 1:
            hash = node_hash(self._edge.pop(), hash)
            complete >>= 1
        self._edge.append(hash)
        self.size += 1


def _range_hash(begin: int, end: int, node: Node) -> bytes:
    """MTH(D[begin:end]) of the RFC, where `begin` is a multiple of the next power of two."""
    width = end - begin
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node(level, begin >> level)
    middle = begin + _split(width)
    return node_hash(_range_hash(begin, middle, node), _range_hash(middle, end, node))


def _inclusion(index: int, begin: int, end: int, node: Node) -> list[bytes]:
    """PATH(m, D_n) of the RFC, where D_n are the leaves from `begin` to `end`."""
    if end - begin == 1:
        return []
    middle = begin + _split(end - begin)
    if index < middle:
        return [*_inclusion(index, begin, middle, node), _range_hash(middle, end, node)]
    return [*_inclusion(index, middle, end, node), _range_hash(begin, middle, node)]


def _consistency(first: int, begin: int, end: int, node: Node, known: bool) -> list[bytes]:
    """SUBPROOF(m, D_n, b) of the RFC, where D_n are the leaves from `begin` to `end`, and m counts from leaf 0."""
    if first == end:
        return [] if known else [_range_hash(begin, end, node)]
    middle = begin + _split(end - begin)
    if first <= middle:
        return [*_consistency(first, begin, middle, node, known), _range_hash(middle, end, node)]
    return [*_consistency(first, middle, end, node, known=False), _range_hash(begin, middle, node)]


def _split(width: int) -> int:
    """The largest power of two smaller than `width`."""
    return 1 << (width - 1).bit_length() - 1
