"""A LoRA adapter: an immutable name, put to use and taken out of it."""

from __future__ import annotations

import pytest

from domain.errors import AlreadyDone, Invalid
from domain.lora_adapter import adapter_id, adapter_name
from tests.builders import NOW, a_lora_adapter, a_passport, a_reserved_adapter, topics


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


def test_a_name_is_kept_for_the_training_that_reserved_it() -> None:
    adapter = a_reserved_adapter()
    for stranger in (a_passport(training_run="another"), a_passport(revision=2), a_passport(alias="club")):
        with pytest.raises(Invalid):
            adapter.register(stranger, at=NOW)
    adapter.register(a_passport(), at=NOW)
    with pytest.raises(AlreadyDone):
        adapter.register(a_passport(), at=NOW)
    assert topics(adapter) == ["reserved", "registered"]


def test_an_adapter_that_is_only_reserved_is_neither_promoted_nor_retired() -> None:
    adapter = a_reserved_adapter()
    with pytest.raises(Invalid):
        adapter.promote("", at=NOW)
    with pytest.raises(Invalid):
        adapter.retire("", at=NOW)


def test_an_adapter_can_be_put_back_to_use() -> None:
    adapter = a_lora_adapter()
    adapter.promote("better", at=NOW)
    adapter.promote("the next one was worse", at=NOW)
    assert topics(adapter) == ["reserved", "registered", "promoted", "promoted"]


def test_a_retired_adapter_is_not_used_again_and_retires_once() -> None:
    adapter = a_lora_adapter()
    adapter.retire("worse", at=NOW)
    adapter.retire("still worse", at=NOW)
    with pytest.raises(AlreadyDone):
        adapter.promote("", at=NOW)
    assert topics(adapter) == ["reserved", "registered", "retired"]
