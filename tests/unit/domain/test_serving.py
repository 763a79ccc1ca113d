"""What makes a model server serve what the registry says."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.lora_weights import LoraForm, Weights
from domain.serving import OTHER_WEIGHTS, Listing, Plan, Servable, plan, wanted_on

NAMES = st.sampled_from(["base", "other-base", "team@1", "team@2", "lead@1", "stranger", "x@9"])
FORM = LoraForm(4, 8, frozenset({"q_proj"}))
AA, BB, CC = Weights("aa", FORM), Weights("bb", FORM), Weights("cc", FORM)
AA_AT_MORE = Weights("aa", replace(FORM, lora_alpha=1_024))
WEIGHTS = st.sampled_from([AA, BB, CC, AA_AT_MORE])
WANTED = st.dictionaries(NAMES, WEIGHTS)
LISTINGS = st.builds(
    Listing,
    st.frozensets(st.sampled_from(["base", "other-base"]), min_size=1),
    st.dictionaries(NAMES, st.none() | WEIGHTS | st.just(OTHER_WEIGHTS)),
)


def after(steps: Plan, wanted: dict[str, Weights], listing: Listing, tells: bool = True) -> Listing:
    """What a server lists that does as it is told, and says which weights it has where it can tell."""
    adapters = {name: weights for name, weights in listing.adapters.items() if name not in steps.unload}
    return Listing(listing.bases, adapters | {name: wanted[name] if tells else None for name in steps.load})


@given(wanted=WANTED, listing=LISTINGS, tells=st.booleans())
def test_whatever_a_server_serves_the_plan_makes_it_serve_what_is_wanted_and_then_there_is_nothing_to_do(
    wanted, listing, tells
):
    reached = after(plan(wanted, listing), wanted, listing, tells)

    served = {name: weights for name, weights in reached.adapters.items() if name not in reached.bases}
    assert served.keys() == wanted.keys() - listing.bases
    assert all(weights in (None, wanted[name]) for name, weights in served.items())
    assert not plan(wanted, reached)


@given(wanted=WANTED, listing=LISTINGS)
def test_a_base_model_is_neither_unloaded_nor_loaded_over(wanted, listing):
    steps = plan(wanted, listing)

    assert listing.bases.isdisjoint((*steps.unload, *steps.load))


@given(wanted=WANTED, listing=LISTINGS)
def test_what_is_served_as_it_should_be_is_left_alone(wanted, listing):
    steps = plan(wanted, listing)

    sound = {name for name, weights in listing.adapters.items() if name in wanted and weights in (None, wanted[name])}
    assert sound.isdisjoint((*steps.unload, *steps.load))


def test_what_is_missing_is_loaded_what_is_foreign_unloaded_and_what_has_other_weights_both():
    wanted = {"team@1": AA, "team@2": BB, "team@3": CC}
    listing = Listing(frozenset({"base"}), {"team@1": AA, "team@2": CC, "stranger": None})

    assert plan(wanted, listing) == Plan(unload=("stranger", "team@2"), load=("team@2", "team@3"))


def test_the_right_weights_that_act_otherwise_are_other_weights():
    listing = Listing(frozenset({"base"}), {"team@1": AA_AT_MORE})

    assert plan({"team@1": AA}, listing) == Plan(unload=("team@1",), load=("team@1",))


def test_adapters_of_another_base_model_are_not_wanted():
    registered = {"team@1": Servable(AA, "base"), "team@2": Servable(BB, "other-base")}

    assert wanted_on(registered, "base") == {"team@1": AA}
