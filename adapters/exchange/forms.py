"""The forms of files that can be imported, the most telling first: the first that recognises a row is the file's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapters.exchange import alpaca_eval, hh, own, trl, ultrafeedback
from adapters.exchange.fields import Raw, Unfit
from domain.errors import Invalid
from domain.importing import Judgment, Tie
from domain.pair import must_be_a_choice, must_prefer


@dataclass(frozen=True, slots=True)
class Form:
    """`recognises` looks at a row's columns alone; `judgment` reads it, or raises Unfit."""

    name: str
    what: str
    recognises: Callable[[Raw], bool]
    judgment: Callable[[Raw], Judgment | Tie]

    def read(self, raw: Raw) -> Judgment | Tie:
        """What the row says. Raises Unfit where it makes no pair."""
        judgment = self.judgment(raw)
        if isinstance(judgment, Judgment):
            try:
                must_prefer(judgment.probability)
                must_be_a_choice(judgment.pair)
            except Invalid as nothing_to_learn:
                raise Unfit(str(nothing_to_learn)) from nothing_to_learn
        return judgment


FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form("caravan", "our own export", own.recognises, own.judgment),
        Form("alpaca-eval", "AlpacaEval's judgments", alpaca_eval.recognises, alpaca_eval.judgment),
        Form("ultrafeedback", "scores as in UltraFeedback", ultrafeedback.recognises, ultrafeedback.judgment),
        Form("hh", "transcripts as in HH-RLHF", hh.recognises, hh.judgment),
        Form("trl", "TRL's preference formats", trl.recognises, trl.judgment),
    )
}


def form_of(raw: Raw) -> Form | None:
    """The form that this row has, if it is one of ours."""
    return next((form for form in FORMS.values() if form.recognises(raw)), None)
