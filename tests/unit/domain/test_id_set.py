"""A set of ids is a set, however it came to its members."""

from __future__ import annotations

from copy import copy
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.id_set import IdSet

FEW = st.lists(st.integers(0, 40).map(lambda n: UUID(int=n << 64 | n)))


def a_set(*ids: UUID) -> IdSet:
    made = IdSet()
    for id in ids:
        made.add(id)
    return made


@given(before=FEW, after=FEW, asked=FEW)
def test_it_holds_what_was_added_before_and_after_it_was_packed(
    before: list[UUID], after: list[UUID], asked: list[UUID]
) -> None:
    ids = IdSet(a_set(*before).packed)
    for id in after:
        ids.add(id)
    plain = {*before, *after}
    assert [id in ids for id in asked] == [id in plain for id in asked]
    assert len(ids) == len(plain)
    assert ids == IdSet(ids.packed) == a_set(*reversed([*before, *after]))


def test_a_copy_goes_its_own_way() -> None:
    one = a_set(UUID(int=1))
    other = copy(one)
    other.add(UUID(int=2))
    assert (len(one), len(other)) == (1, 2)


def test_bytes_that_are_cut_short_are_refused() -> None:
    with pytest.raises(ValueError, match="15 bytes"):
        IdSet(bytes(15))
