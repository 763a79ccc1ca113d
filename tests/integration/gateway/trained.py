"""Datasets that are really built, and adapters whose passports say that they were trained on one."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from commands.datasets import RequestDataset
from commands.preferences import ProposePreference
from domain.dataset import Dataset
from domain.dataset_recipe import Part, Recipe
from domain.lora_adapter import LoraAdapter
from domain.model_call import Message
from domain.preference import Completion, Pair
from tests import story
from tests.fakes import an_envelope
from tests.integration.gateway.conftest import Gateway


def a_dataset(gateway: Gateway) -> UUID:
    """Thirty pairs by hand, half of their prompts held back."""
    core = gateway.core
    for n in range(30):
        chosen, rejected = (Completion((Message("assistant", text),)) for text in (f"{n} is fine", str(n)))
        core.bus.execute(ProposePreference(Pair((Message("user", f"What is {n}?"),), chosen, rejected)), an_envelope())
    recipe = Recipe(parts=(Part("test", 50.0),))
    id = core.bus.execute(RequestDataset(recipe=recipe), an_envelope()).id
    core.datasets.ensure(id)
    return id


def adapters(gateway: Gateway, *revisions: int, caravan: str = "") -> None:
    """Trained on that dataset, as their passports say."""
    id = a_dataset(gateway)
    session = gateway.core.store.session(story.ENVELOPE)
    built = session.get(Dataset, id)
    for revision in revisions:
        made = story.adapter(revision)
        passport = made.passport
        assert passport
        own = LoraAdapter.reserve("team", revision, passport.training_run, at=story.at(41))
        data = {"dataset_id": id, "dataset_sha256": built.sha256, "position": built.position}
        own.register(replace(passport, **data, made_with={"caravan": caravan} if caravan else {}), at=story.at(50))
        gateway.core.store.session(story.ENVELOPE).save(own)
    gateway.catch_up()
