"""A pair as a person at a terminal sees it: until they have spoken, one answer at the left and one at the right by lot,
and nothing that speaks for either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

import typer
from rich.markup import escape

from domain.access import Role
from domain.sides import Sides, may_speak_first
from gateway.cli.client import Api, Json
from gateway.cli.output import console

AsProposed = Annotated[
    bool,
    typer.Option(
        "--as-proposed", help="First the answer that was proposed as better, its author, and how sure the ballots are."
    ),
]

AS_IT_STANDS = {"chosen": "chosen", "rejected": "rejected"}
AS_PROPOSED = {
    "flipped": {"chosen": "rejected", "rejected": "chosen"},
    "edited": {"better": "chosen", "worse": "rejected"},
}
"""By the verdict that leaves a pair's answers as `chosen` and `rejected`: which of them was proposed as which, as
`caravan annotate` means it. Rewritten ones were not proposed, and have names of their own."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who sits at the terminal, as their token says. `judges`: whether they may give an opinion."""

    name: str
    judges: bool

    @classmethod
    def at(cls, api: Api) -> Self:
        """Raises ApiError."""
        me = api.get("/v1/me")
        return cls(me["subject"], Role(me["role"]).includes(Role.ANNOTATOR))

    def sides_of(self, pair: str) -> Sides:
        """Where its answers stand for them, here and in the console."""
        return Sides.drawn(self.name, pair)

    def may_speak_first(self, pair: Json) -> bool:
        """Whether they are to judge it knowing nothing."""
        return self.judges and may_speak_first(self.name, pair["state"], pair["spoken_by"])


def show_pair(pair: Json, person: Person | None) -> None:
    """Its id, how it stands, and its texts, for that person to judge; to whoever has spoken or may not, and to None as
    it was proposed, also who wrote them and which one is the better one."""
    if person and person.may_speak_first(pair):
        left, right = person.sides_of(pair["preference_id"]).in_order(pair["chosen"], pair["rejected"])
        _print(pair, pair["state"], {"left": left, "right": right}, {})
    else:
        sides = AS_IT_STANDS if person else AS_PROPOSED.get(pair["verdict"], AS_IT_STANDS)
        answers = {name: pair[side] for name, side in sides.items()}
        authors = {name: pair[f"{side}_agent"] for name, side in sides.items()}
        stands = pair["verdict"] or f"{pair['state']}, P = {pair['probability']:.2f}"
        _print(pair, stands, answers, authors)


def unveiled(pair: Json, sides: Sides) -> Json:
    """What somebody who has spoken is told: who wrote the answers that they saw, and what the ballots say of them."""
    proposed, support = pair["history"][0]["data"]["pair"], pair["support"]
    authors = [proposed[side]["agent"] or "written by hand" for side in ("chosen", "rejected")]
    left, right = sides.in_order(*authors)
    by = f"{pair['method']}, P = {pair['probability']:.2f}"
    judges = {"judges": "{agree} agree, {against} against, {tied} undecided".format(**support)} if support else {}
    return {"left": left, "right": right, "proposed": f"{sides.told('accepted')} ({by})"} | judges


def _print(pair: Json, stands: str, answers: Mapping[str, list[Json]], authors: Mapping[str, str | None]) -> None:
    console.print(f"[bold]{pair['preference_id']}[/] [dim]{stands}[/]", highlight=False)
    for name, messages in ({"prompt": pair["prompt"]} | dict(answers)).items():
        author = f"[dim]{escape(by)}:[/] " if (by := authors.get(name)) else ""
        text = "\n".join(message["content"] for message in messages)
        console.print(f"[dim]{name:>8}[/] {author}{escape(text)}", highlight=False)
    console.print()
