"""The tree is that of RFC 9162: its definitions, the vectors of Certificate Transparency, and proofs that hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sealing.merkle import (
    CompactRange,
    Node,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    merged,
    node_hash,
    root,
)
from deploy.verify_proof import Wrong, root_from_inclusion, roots_from_consistency

ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""Of the reference implementation of Certificate Transparency, like all the hashes below."""
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
LEAF_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
PAIR_1 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
PAIR_2 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
PAIR_3 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
HALF_1 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"

trees = st.lists(st.binary(max_size=3), min_size=1, max_size=70)


def over(entries: list[bytes]) -> Node:
    return lambda level, index: merged([leaf_hash(entry) for entry in entries[index << level : (index + 1) << level]])


def defined_root(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, word for word."""
    if len(entries) == 1:
        return leaf_hash(entries[0])
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return node_hash(defined_root(entries[:k]), defined_root(entries[k:]))


def hexed(path: list[bytes]) -> list[str]:
    return [hash.hex() for hash in path]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int):
    assert root(size, over(ENTRIES)).hex() == ROOTS[size]
    assert CompactRange().extended(map(leaf_hash, ENTRIES[:size])).root.hex() == ROOTS[size]


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, []),
        (0, 8, [LEAF_1, PAIR_1, HALF_1]),
        (5, 8, [LEAF_4, PAIR_3, ROOTS[4]]),
        (1, 5, [ROOTS[1], PAIR_1, LEAF_4]),
    ],
)
def test_inclusion_proofs_are_those_of_certificate_transparency(index: int, size: int, path: list[str]):
    assert hexed(inclusion_proof(index, size, over(ENTRIES))) == path


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [(1, 1, []), (1, 8, [LEAF_1, PAIR_1, HALF_1]), (6, 8, [PAIR_2, PAIR_3, ROOTS[4]]), (2, 5, [PAIR_1, LEAF_4])],
)
def test_consistency_proofs_are_those_of_certificate_transparency(first: int, second: int, path: list[str]):
    assert hexed(consistency_proof(first, second, over(ENTRIES))) == path


@given(trees, st.data())
def test_a_tree_that_grows_has_the_root_that_the_rfc_defines(entries: list[bytes], data: st.DataObject):
    before = data.draw(st.integers(0, len(entries)))
    grown = CompactRange().extended(map(leaf_hash, entries[:before])).extended(map(leaf_hash, entries[before:]))
    assert grown.root == root(len(entries), over(entries)) == defined_root(entries)
    assert grown.size == len(entries)


@given(trees, st.data())
def test_every_leaf_can_be_proven_and_no_other_in_its_place(entries: list[bytes], data: st.DataObject):
    index = data.draw(st.integers(0, len(entries) - 1))
    path = inclusion_proof(index, len(entries), over(entries))
    proven = root_from_inclusion(leaf_hash(entries[index]), index, len(entries), path)
    assert proven == defined_root(entries)
    assert root_from_inclusion(leaf_hash(b"another"), index, len(entries), path) != proven
    with pytest.raises(Wrong):
        root_from_inclusion(leaf_hash(entries[index]), index, len(entries), [*path, bytes(32)])
    if path:
        with pytest.raises(Wrong):
            root_from_inclusion(leaf_hash(entries[index]), index, len(entries), path[:-1])


@given(trees, st.data())
def test_a_tree_begins_with_every_earlier_one_and_with_no_other(entries: list[bytes], data: st.DataObject):
    first = data.draw(st.integers(1, len(entries)))
    path = consistency_proof(first, len(entries), over(entries))
    roots = defined_root(entries[:first]), defined_root(entries)
    assert roots_from_consistency(first, len(entries), roots[0], path) == roots
    other = [*entries[: first - 1], entries[first - 1] + b"changed"]
    if first < len(entries):
        assert roots_from_consistency(first, len(entries), defined_root(other), path) != (defined_root(other), roots[1])
