"""`caravan projections`: how far the read models are, and making them anew, as they are or as they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import typer

from gateway.bootstrap import open_core
from gateway.cli.client import ApiError, open_api
from gateway.cli.output import AsJson, console, errors, plain_errors, show
from gateway.cli.progress import event_progress, shown
from gateway.running import collect_rarely
from gateway.settings import Settings
from gateway.stack import located
from projections import ALL, READ_MODELS
from projections.as_of import build_as_of
from projections.derived import Derived, remake
from projections.parked import parked_events, retry_parked, skip_parked
from projections.projector import Projector
from projections.rebuild import Rebuilt, rebuild

app = typer.Typer()
projections = typer.Typer(no_args_is_help=True, help="Read models.")
app.add_typer(projections, name="projections")

Known = TypeVar("Known", Projector, Projector | Derived)
Names = Annotated[list[str] | None, typer.Argument(help="Which ones; all by default.")]


@projections.command("list")
def list_projections(as_json: AsJson = False) -> None:
    """Say how far each read model is."""
    with plain_errors():
        found = open_api(Settings()).get("/v1/projections")["items"]
    show(found, as_json, ("name", "checkpoint", "lag", "parked", "stale"))


@projections.command("rebuild")
def rebuild_projections(names: Names = None) -> None:
    """Make read models anew from the events, beside those in use, which are read and kept up to date all the while.

    Counts that are made of other read models are made anew in place. What was interrupted goes on where it was.
    """
    collect_rarely()
    with plain_errors(), open_core(located(Settings())) as core, event_progress() as bar:
        for each in _known(names, READ_MODELS):
            if isinstance(each, Projector):
                said = _told(rebuild(core.engine, core.store, each, on_progress=shown(bar, each.name)))
            else:
                said = f"counted anew up to {remake(core.engine, each)}"
            bar.console.print(f"{each.name}: {said}", highlight=False)


@projections.command("as-of")
def projections_as_of(
    position: int,
    names: Names = None,
    schema: Annotated[str | None, typer.Option(help="Where to; as_of_POSITION by default.")] = None,
) -> None:
    """Make read models as they were at a past position, in a schema of their own, for questions in SQL."""
    collect_rarely()
    schema = schema or f"as_of_{position}"
    with plain_errors(), open_core(located(Settings())) as core, event_progress() as bar:
        if not 0 <= position <= (head := core.store.head()):
            raise ApiError(f"there is no position {position} yet: the log ends at {head}")
        left_out = build_as_of(core.engine, core.store, _known(names, ALL), position, schema, shown(bar, schema))
    console.print(f"the tables are in the schema {schema}; DROP SCHEMA {schema} CASCADE when you are done")
    if left_out:
        errors.print(f"[yellow]![/] {left_out} events could not be taken in, and are missing there")


@projections.command("parked")
def list_parked(names: Names = None, as_json: AsJson = False) -> None:
    """Say which events read models could not take in, and why; the newest 200 of each."""
    with plain_errors(), open_core(located(Settings())) as core, core.engine.connect() as db:
        found = [row for projector in _known(names, ALL) for row in parked_events(db, projector.name, limit=200).items]
    show(found, as_json, ("projector", "position", "topic", "aggregate_id", "error", "parked_at"))


@projections.command("retry")
def retry_projections(names: Names = None) -> None:
    """Try parked events again, each with all the events of its aggregate; e.g. after a fold was mended."""
    with plain_errors(), open_core(located(Settings())) as core:
        for projector in _known(names, ALL):
            left = retry_parked(core.engine, core.store, projector)
            console.print(f"{projector.name}: {left} events are parked still" if left else f"{projector.name}: sound")


@projections.command("skip")
def skip_projection(name: str, position: int) -> None:
    """Let a parked event be; a rebuild tries it again."""
    (projector,) = _known([name], ALL)
    with plain_errors(), open_core(located(Settings())) as core:
        if not skip_parked(core.engine, projector, position):
            raise ApiError(f"{name} has parked no event at {position}; `caravan projections parked {name}` lists them")
    console.print(f"{name} lets {position} be")


def _known(names: list[str] | None, read_models: Sequence[Known]) -> list[Known]:
    known = {each.name: each for each in read_models}
    if unknown := set(names or ()) - set(known):
        raise typer.BadParameter(f"no read model {', '.join(sorted(unknown))}; there is {', '.join(known)}")
    return [known[name] for name in names or known]


def _told(rebuilt: Rebuilt) -> str:
    said = [f"rebuilt up to {rebuilt.position}"]
    if rebuilt.differing is not None:
        said.append(f"{rebuilt.differing} rows differ from before")
    if rebuilt.parked:
        said.append(f"{rebuilt.parked} events are parked")
    return ", ".join(said)
