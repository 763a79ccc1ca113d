"""In what form an adapter's weights act, and what is said of another one."""

from dataclasses import replace

import pytest

from domain.lora_weights import Difference, LoraForm
from domain.training_config import TrainingConfig, form_of

FORM = LoraForm(8, 16, frozenset({"q_proj", "v_proj"}))


def test_the_same_options_are_the_same_form_in_whatever_order_and_type_they_are_written():
    trained = TrainingConfig(r=8, lora_alpha=16, target_modules=("v_proj", "q_proj", "v_proj"))

    assert trained.form == replace(FORM, lora_alpha=16.0)
    assert trained.form.difference(FORM) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"r": 4}, Difference("r", "4", "8")),
        ({"lora_alpha": 1_024.0}, Difference("lora_alpha", "1024", "16")),
        ({"lora_alpha": 0.5}, Difference("lora_alpha", "0.5", "16")),
        ({"use_rslora": True}, Difference("use_rslora", "True", "False")),
        ({"target_modules": frozenset({"q_proj"})}, Difference("target_modules", "q_proj", "q_proj, v_proj")),
    ],
)
def test_another_form_is_told_by_the_option_that_makes_it(changed, said):
    assert replace(FORM, **changed).difference(FORM) == said


@pytest.mark.parametrize(
    "stored",
    [
        {"lora_rank": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "steps": 2, "loss": ["sft"]},
        {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "use_rslora": False, "new_option": 1},
        {"target_modules": ["q_proj", "v_proj"]},
    ],
)
def test_a_configuration_tells_the_form_whichever_release_wrote_it_down(stored):
    assert form_of(stored) == FORM
