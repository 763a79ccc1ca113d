"""`caravan audit`: is the log what it was, and proofs of it for others. Straight to the database."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from adapters.sealing.anchors import AnchorFile, Anchoring, read_anchors
from adapters.sealing.keys import read_keyring
from adapters.sealing.told import told_lately
from adapters.sealing.verification import Report, verify
from gateway.bootstrap import open_core
from gateway.cli.client import ApiError
from gateway.cli.output import REFUSED, AsJson, complain, console, plain_errors, show
from gateway.cli.progress import event_progress, shown
from gateway.projectors import anchor_places
from gateway.settings import Settings
from gateway.stack import located

app = typer.Typer()
audit = typer.Typer(no_args_is_help=True, help="Whether the log is what it was.")
app.add_typer(audit, name="audit")


@audit.command("verify")
def verify_log(
    anchors: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Seals that were kept outside; CARAVAN_ANCHOR_FILE by default."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The public keys to trust; those in CARAVAN_HOME by default."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read everything again, and name the first position where something is wrong; the exit code is 1 then."""
    with plain_errors(), open_core(located(Settings())) as core, event_progress() as bar:
        settings = core.settings
        anchored = anchors or settings.anchors
        kept = 0 if anchors else core.seals.kept(AnchorFile.name)
        report = verify(
            core.engine,
            read_keyring(keys or settings.seal_keyring),
            read_anchors(anchored) if anchored.exists() else [],
            asyncio.run(told_lately(str(settings.nats_url))),
            kept,
            shown(bar, "events"),
        )
    if as_json:
        show(asdict(report), as_json)
    else:
        _tell(report)
    if report.problem:
        raise typer.Exit(REFUSED)


@audit.command()
def prove(
    position: int,
    seal: Annotated[int | None, typer.Option(help="In the tree of this seal; the newest by default.")] = None,
    without_data: Annotated[bool, typer.Option("--without-data", help="The envelope alone.")] = False,
) -> None:
    """Print a proof that the event at POSITION is in the sealed log; deploy/verify_proof.py checks it."""
    with plain_errors(), open_core(located(Settings())) as core:
        show(core.proofs.of_event(position, seal, with_data=not without_data), as_json=True)


@audit.command()
def consistency(first: int, second: Annotated[int | None, typer.Argument()] = None) -> None:
    """Print a proof that the log of the seal FIRST is the beginning of that of SECOND, the newest by default."""
    with plain_errors(), open_core(located(Settings())) as core:
        show(core.proofs.of_consistency(first, second), as_json=True)


@audit.command()
def anchor() -> None:
    """Keep the newest seal in the anchor file, and at the address of CARAVAN_ANCHOR_WEBHOOK, now."""
    with plain_errors(), open_core(located(Settings())) as core:
        outcome = Anchoring(core.engine, anchor_places(core.settings), core.settings.seal_keyring).anchor()
        if not outcome:
            raise ApiError("nothing is sealed yet; the projectors do that")
    for place, failure in outcome.items():
        if failure:
            complain(failure)
        else:
            console.print(f"{place}: kept")
    if any(outcome.values()):
        raise typer.Exit(REFUSED)


@audit.command()
def key() -> None:
    """Print the public keys that seals are signed with. Keep them apart from this machine."""
    with plain_errors():
        keyring = Settings().seal_keyring
        if not keyring.exists():
            raise ApiError(f"nothing was ever sealed here: {keyring} is missing; the projectors make it")
        typer.echo(keyring.read_text(), nl=False)


def _tell(report: Report) -> None:
    if report.problem:
        complain(f"position {report.position}: {report.problem}")
    console.print(f"{report.events} events read", highlight=False)
    _line("sealed", f"up to {report.sealed} (seals: {report.seals})" if report.seals else "nothing")
    _line("anchored", f"up to {report.anchored} (anchors: {report.anchors})" if report.anchors else "nothing")
    if report.problem:
        return
    heard = "" if report.compared is None else f"; NATS confirms {report.compared}"
    _line("not sealed", f"{report.unsealed} events{heard}" if report.unsealed else "nothing")
    if report.compared is None:
        _line("NATS", "could not be asked: what it was told is not compared")
    elif report.heard_from is not None:
        _line("NATS", f"was told the same of the events from {report.heard_from} on")
    if report.erased:
        _line("erased", f"the data of {len(report.erased)} events, which --json lists: compare that with your records")
    console.print("[green]✓[/] nothing is wrong")


def _line(name: str, text: str) -> None:
    console.print(f"  {name:<10} {text}", highlight=False)
