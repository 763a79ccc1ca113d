"""UltraFeedback (https://huggingface.co/datasets/openbmb/UltraFeedback) and what was made of it.

Of a row with several scored completions the best and the worst make a pair: the first of each where scores are equal. A
binarized row (`score_chosen`, `score_rejected` beside TRL's columns) is one already. `margin` is the difference of the
scores, on their own scale; the pair weighs in full, since nothing says what a point of that scale is worth.
"""

from __future__ import annotations

from adapters.exchange import trl
from adapters.exchange.fields import Raw, Unfit, given, name, number, text
from domain.importing import Judgment, Tie

SCORES = ("overall_score", "fine-grained_score", "score", "rating")
"""Of a completion: the first that is there counts."""
TEXTS = ("response", "text")
BINARIZED = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen-rating", "rejected-rating"),
)


def recognises(raw: Raw) -> bool:
    """Whether it has scored completions, or scores beside TRL's columns."""
    return isinstance(raw.get("completions"), list) or (bool(_scored(raw)) and trl.recognises(raw))


def judgment(raw: Raw) -> Judgment | Tie:
    """Raises Unfit."""
    if (fields := _scored(raw)) and "completions" not in raw:
        return _judged(raw, *fields)
    prompt = text(raw, "instruction" if "instruction" in raw else "prompt")
    ranked = sorted(_completions(raw), key=lambda each: -each[0])
    if len(ranked) < 2:
        raise Unfit("completions holds fewer than two answers")
    (high, best, by), (low, worst, other) = ranked[0], next(each for each in ranked if each[0] == ranked[-1][0])
    if high == low:
        return Tie()
    return Judgment(trl.pair_of_texts(prompt, best, worst, (by, other)), margin=high - low)


def _judged(raw: Raw, better: str, worse: str) -> Judgment | Tie:
    margin = number(raw, better) - number(raw, worse)
    if margin == 0:
        return Tie()
    if margin < 0:
        raise Unfit(f"{better} is less than {worse}: the scores contradict the columns")
    return Judgment(trl.pair(raw), margin=margin)


def _completions(raw: Raw) -> list[tuple[float, str, str | None]]:
    """Score, text and model of each."""
    found = []
    for n, each in enumerate(raw["completions"] if isinstance(given(raw, "completions"), list) else []):
        if not isinstance(each, dict):
            raise Unfit(f"completions[{n}] is no object")
        try:
            found.append((number(each, _first(each, SCORES)), text(each, _first(each, TEXTS)), name(each, "model")))
        except Unfit as unfit:
            raise Unfit(f"completions[{n}].{unfit}") from unfit
    return found


def _first(raw: Raw, fields: tuple[str, ...]) -> str:
    return next((field for field in fields if raw.get(field) is not None), fields[0])


def _scored(raw: Raw) -> tuple[str, str] | None:
    return next((fields for fields in BINARIZED if all(field in raw for field in fields)), None)
