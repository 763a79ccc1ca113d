"""AlpacaEval's annotations (https://github.com/tatsu-lab/alpaca_eval): an instruction, two outputs, and which one an
annotator prefers: 1 the first, 2 the second, 0 or 1.5 neither. Between 1 and 2 it is 1 plus the probability that the
second one is better, as its weighted annotators write it.
"""

from __future__ import annotations

from adapters.exchange.fields import Raw, Unfit, name, number, text
from adapters.exchange.trl import pair_of_texts
from domain.importing import Judgment, Tie

TIES = (0.0, 1.5)


def recognises(raw: Raw) -> bool:
    """Whether it has these columns."""
    return raw.keys() >= {"instruction", "output_1", "output_2", "preference"}


def judgment(raw: Raw) -> Judgment | Tie:
    """Raises Unfit."""
    preference = number(raw, "preference")
    if preference in TIES:
        return Tie()
    if not 1 <= preference <= 2:
        raise Unfit(f"preference is {preference:g}; it must be 0, or from 1 to 2")
    better, worse = ("1", "2") if preference < 1.5 else ("2", "1")
    pair = pair_of_texts(
        text(raw, "instruction"),
        text(raw, f"output_{better}"),
        text(raw, f"output_{worse}"),
        (name(raw, f"generator_{better}"), name(raw, f"generator_{worse}")),
    )
    return Judgment(pair, probability=0.5 + abs(preference - 1.5), annotator=name(raw, "annotator"))
