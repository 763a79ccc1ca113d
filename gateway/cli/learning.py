"""`caravan preferences`, `lineage`, `annotate` and `withdraw`: what is learnt from."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Literal
from uuid import UUID

import typer

from domain.sides import LEFT, NEITHER, RIGHT, Sides
from gateway.cli.client import Api, Json, Unavailable, open_api
from gateway.cli.output import AsJson, console, plain_errors, show
from gateway.cli.pairs import AsProposed, Person, show_pair, unveiled
from gateway.settings import Settings

app = typer.Typer()

Said = Literal["left", "right", "neither", "accepted", "flipped", "rejected", "edited"]

LINEAGE = {
    "run": ("run_id", "kind", "actor", "roster_revision"),
    "imported": ("import_id", "name", "sha256", "line", "annotator"),
    "answers": ("step_id", "agent", "phase", "n", "model", "adapter"),
    "ballots": ("ballot_id", "judge", "method", "outcome", "margin"),
    "people": ("actor", "actor_kind", "did"),
    "datasets": ("dataset_id", "part", "as_of", "sha256"),
    "trainings": ("run_id", "state", "dataset_id", "adapter_name"),
    "adapters": ("name", "state", "in_use"),
}


@app.command()
def preferences(
    state: Literal["waiting", "imported", "disputed", "settled", "rejected", "withdrawn", "all"] = "waiting",
    import_id: Annotated[UUID | None, typer.Option("--import", help="Only those that it added.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The newest so many; all by default.")] = None,
    as_proposed: AsProposed = False,
    as_json: AsJson = False,
) -> None:
    """List preference pairs, by default those that wait for an opinion.

    Those that you may still judge first stand left and right by lot; with --json they are as they were proposed.
    """
    with plain_errors():
        api = open_api(Settings())
        query = {"state": None if state == "all" else state, "import": import_id}
        found = list(islice(api.pages("/v1/preferences", **query), limit))
        person = None if as_json or as_proposed else Person.at(api)
    if as_json:
        show(found, as_json)
    else:
        for pair in found:
            show_pair(pair, person)


@app.command("lineage")
def lineage(preference: UUID, as_json: AsJson = False) -> None:
    """Show where a pair comes from, and which datasets, trainings and adapters it went into."""
    with plain_errors():
        found = open_api(Settings()).get(f"/v1/preferences/{preference}/lineage")
    if as_json:
        show(found, as_json)
        return
    for name, columns in LINEAGE.items():
        if (rows := found[name]) is not None:
            console.print(f"[bold]{name}[/]")
            show(rows if isinstance(rows, list) else [rows], as_json, columns)


@app.command()
def annotate(
    preference: UUID,
    verdict: Annotated[
        Said,
        typer.Argument(help="Of the answers as you are shown them; from `accepted` on, of the pair as proposed."),
    ],
    note: str = "",
    chosen: Annotated[str | None, typer.Option(help="The better answer, for an edit.")] = None,
    rejected: Annotated[str | None, typer.Option(help="The worse answer, for an edit.")] = None,
    rate: Annotated[list[str] | None, typer.Option(help="By the rubric, e.g. clarity=5; for each criterion.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what you think of a pair, and be told who wrote which answer. Every opinion is kept; of yours the latest
    counts."""
    words = {"chosen": chosen, "rejected": rejected} if verdict == "edited" else {}
    if not words and (chosen or rejected):
        raise typer.BadParameter("--chosen and --rejected are an edit's: say `edited`")
    if words and chosen is None:
        raise typer.BadParameter("an edit needs --chosen, and may have --rejected")
    ratings = ratings_of(rate)
    with plain_errors():
        api = open_api(Settings())
        sides = Person.at(api).sides_of(str(preference))
        body = {"note": note, **words, **_of_the_proposal(api, sides, verdict, ratings)}
        written = api.post(f"/v1/preferences/{preference}/annotations", body)
        pair = _reread(api, preference, written["position"])
    told = {} if as_json or not pair else unveiled(pair, sides)
    show(written | _standing(pair) | told, as_json)


def _of_the_proposal(api: Api, sides: Sides, said: Said, ratings: dict[str, int]) -> Json:
    """What was said, as it is kept: of the pair as it was proposed. Of left and right it is said as they were shown."""
    if said not in (LEFT, RIGHT, NEITHER):
        return {"verdict": said, "ratings": ratings}
    if not ratings:
        return {"verdict": sides.verdict(said)}
    rubric = api.get("/v1/annotations/rubric")
    turned = _turned(rubric["criteria"], ratings, sides)
    return {"verdict": sides.verdict(said), "ratings": turned, "rubric": rubric["version"]}


def _turned(criteria: list[Json], ratings: dict[str, int], sides: Sides) -> dict[str, int]:
    """A criterion or a level that there is not stays as it was typed, to be refused in these words."""
    turned = dict(ratings)
    for criterion in criteria:
        name = criterion["name"]
        if 1 <= ratings.get(name, 0) <= len(criterion["levels"]):
            turned[name] = sides.level(ratings[name], criterion)
    return turned


def _reread(api: Api, preference: UUID, position: int) -> Json | None:
    """The pair after that; None while the read models are behind: the verdict is recorded either way."""
    try:
        return api.get(f"/v1/preferences/{preference}", after=position)
    except Unavailable:
        return None


def _standing(pair: Json | None) -> Json:
    return {"state": pair["state"], "judged": len(pair["spoken_by"]), "wanted": pair["wanted"]} if pair else {}


def ratings_of(given: list[str] | None) -> dict[str, int]:
    """Of `criterion=level` each. Raises BadParameter."""
    found = dict[str, int]()
    for each in given or []:
        criterion, _, level = each.partition("=")
        if not criterion or not level.isdecimal():
            raise typer.BadParameter(f"--rate {each}: write criterion=level, e.g. clarity=5")
        found[criterion] = int(level)
    return found


@app.command()
def withdraw(preference: UUID, reason: str = "", as_json: AsJson = False) -> None:
    """Take a pair out of every later dataset. Nothing is erased."""
    with plain_errors():
        written = open_api(Settings()).delete(f"/v1/preferences/{preference}", reason=reason)
    show(written, as_json)
