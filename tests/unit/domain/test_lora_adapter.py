"""A LoRA adapter: an immutable name, put to use and taken out of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import AlreadyDone, DomainError, Invalid
from domain.lora_adapter import adapter_id, adapter_name, alias_in_use, alias_of, differences, standing
from tests.builders import NOW, a_lora_adapter, a_passport, a_reserved_adapter, recorded, topics


def test_an_adapter_is_called_by_its_alias_and_revision_and_its_id_follows() -> None:
    adapter = a_lora_adapter("team", 3)
    assert adapter.name == "team@3"
    assert adapter.id == adapter_id("team@3") != adapter_id("team@2")


@pytest.mark.parametrize("alias", ["", "Team", "../team", "te am", "team@1", "-team", "t" * 49, "team\n"])
def test_an_alias_that_is_no_plain_word_is_refused(alias: str) -> None:
    with pytest.raises(Invalid):
        adapter_name(alias, 1)
    with pytest.raises(Invalid):
        a_lora_adapter(alias)


def test_the_one_in_production_has_a_name_that_is_no_adapters() -> None:
    assert (alias_in_use("team@production"), alias_in_use("team@2"), alias_in_use("team")) == ("team", None, None)
    assert {alias_of(name) for name in ("team", "team@2", "team@production")} == {"team"}


def test_a_name_is_kept_for_the_training_that_reserved_it() -> None:
    adapter = a_reserved_adapter()
    for stranger in (a_passport(training_run="another"), a_passport(revision=2), a_passport(alias="club")):
        with pytest.raises(Invalid):
            adapter.register(stranger, at=NOW)
    adapter.register(a_passport(), at=NOW)
    with pytest.raises(AlreadyDone):
        adapter.register(a_passport(), at=NOW)
    assert topics(adapter) == ["reserved", "registered"]


def test_an_adapter_that_is_only_reserved_is_neither_promoted_nor_rolled_back_nor_retired() -> None:
    adapter = a_reserved_adapter()
    with pytest.raises(Invalid):
        adapter.promote("better", at=NOW)
    with pytest.raises(Invalid):
        adapter.roll_back(None, "worse", at=NOW)
    with pytest.raises(Invalid):
        adapter.retire("", at=NOW)


def test_an_adapter_can_be_put_back_to_use() -> None:
    adapter = a_lora_adapter()
    adapter.promote("better", at=NOW)
    adapter.promote("the next one was worse", at=NOW)
    assert topics(adapter) == ["reserved", "registered", "promoted", "promoted"]


def test_nobody_promotes_or_rolls_back_without_a_reason() -> None:
    adapter = a_lora_adapter()
    with pytest.raises(Invalid, match="say why"):
        adapter.promote(" ", at=NOW)
    adapter.promote("better", at=NOW)
    with pytest.raises(Invalid, match="say why"):
        adapter.roll_back(None, "", at=NOW)


def test_what_is_not_in_use_is_not_rolled_back() -> None:
    adapter = a_lora_adapter()
    with pytest.raises(AlreadyDone):
        adapter.roll_back(None, "worse", at=NOW)
    adapter.promote("better", at=NOW)
    adapter.roll_back(None, "worse", at=NOW)
    with pytest.raises(AlreadyDone):
        adapter.roll_back(None, "worse", at=NOW)


def test_a_retired_adapter_is_not_used_again_and_retires_once() -> None:
    adapter = a_lora_adapter()
    adapter.retire("worse", at=NOW)
    adapter.retire("still worse", at=NOW)
    with pytest.raises(AlreadyDone):
        adapter.promote("better", at=NOW)
    assert topics(adapter) == ["reserved", "registered", "retired"]


@given(acts=st.lists(st.tuples(st.sampled_from(["promote", "roll back", "retire"]), st.integers(1, 3)), max_size=20))
def test_an_alias_means_what_a_pile_of_promotions_says(acts: list[tuple[str, int]]) -> None:
    """A promotion puts an adapter on top; a rollback takes the top away; who retires leaves the pile for good."""
    adapters = {n: a_lora_adapter(revision=n) for n in (1, 2, 3)}
    for adapter in adapters.values():
        adapter.collect_events()
    pile: list[str] = []
    events = []
    for act, n in acts:
        adapter = adapters[n]
        try:
            match act:
                case "promote":
                    adapter.promote("better", at=NOW)
                    pile = [name for name in pile if name != adapter.name] + [adapter.name]
                case "retire":
                    adapter.retire("old", at=NOW)
                    pile = [name for name in pile if name != adapter.name]
                case "roll back" if pile:
                    adapter = next(one for one in adapters.values() if one.name == pile[-1])
                    adapter.roll_back(pile[-2] if len(pile) > 1 else None, "worse", at=NOW)
                    pile = pile[:-1]
        except DomainError:
            pass
        events += adapter.collect_events()
        assert standing(recorded(events)) == tuple(pile)  # type: ignore[arg-type]
        assert {one.name for one in adapters.values() if one.stands} == set(pile)


def test_two_trainings_on_the_same_data_differ_in_what_they_were_made_of_and_with() -> None:
    one = replace(a_passport(), made_with={"torch": "2.12", "device": "cpu"})
    assert differences(one, one) == []
    assert differences(one, replace(one, base_sha256="0", made_with={"torch": "2.12", "device": "H200"})) == [
        "base_sha256",
        "device: cpu, then H200",
    ]
    assert differences(a_passport(), one) == ["nobody noted what one of them was made with"]
