"""/v1/adapters: what training has made, which of it is in use, and what each one's passport says."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path
from fastapi.encoders import jsonable_encoder
from fastapi.responses import PlainTextResponse
from pydantic import Field

from commands.lora_adapters import PromoteAdapter, RetireAdapter, RollBackAdapter
from commands.training import ReproduceAdapter
from domain.access import Role
from domain.catalogue import topics_of
from domain.lora_adapter import LoraAdapter, no_such_adapter
from domain.ports.events import Written
from gateway.adapter_shapes import AdapterEntry, AdapterPassport
from gateway.auth import needs
from gateway.errors import Answers, responses
from gateway.passport_card import card
from gateway.requests import (
    NO_REASON,
    Commands,
    CoreOf,
    Cursor,
    ExpectedVersion,
    Limit,
    Reason,
    Tag,
    View,
    viewing,
)
from gateway.shapes import page_of
from gateway.strict import Body, StrictRoute
from projections import lora_adapters, passports
from projections.lora_adapters import AdapterState
from projections.projector import Row

MARKDOWN = "text/markdown"
AS_MARKDOWN: Answers = {200: {"content": {MARKDOWN: {}}}}

router = APIRouter(prefix="/v1/adapters", tags=["adapters"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Adapters = Annotated[View, viewing(lora_adapters.PROJECTOR)]
Passports = Annotated[View, viewing(*passports.NEEDED)]
Name = Annotated[
    str, Path(max_length=80, description="`team@production`: the one that `team` means now", examples=["team@1"])
]
Why = Annotated[str, Field(min_length=1, max_length=2000, description="Why; it stays in the history")]


class Promotion(Body):
    """Why an adapter is to be used."""

    reason: Why
    evaluation: UUID | None = Field(default=None, description="The evaluation of it that speaks for it")


class Rollback(Body):
    """Why the adapter in use is not to be used."""

    reason: Why
    adapter: str | None = Field(
        default=None, max_length=80, description="The one that you believe is in use: 409 where another one is by now"
    )


class Again(Body):
    """`anyway`: with other code than made it, too."""

    anyway: bool = False


NOT_ANYWAY = Again()


@router.get("", response_model=page_of(AdapterEntry))
def list_adapters(
    view: Adapters,
    alias: str | None = None,
    state: AdapterState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Adapters, the newest first."""
    return view.page(lora_adapters.adapters(view.db, alias, state, cursor, limit))


@router.get("/{name}", response_model=AdapterEntry, responses=responses(404))
def get_adapter(name: Name, view: Adapters, tag: Tag) -> dict[str, Any]:
    """An adapter: the exact data, base model, configuration and seed that made it, and whether it is in use."""
    adapter = _named(name, view)
    tag.set(adapter["version"])  # `in_use` changes with other adapters, so there is no 304
    return adapter


@router.get("/{name}/passport", response_model=AdapterPassport, responses=AS_MARKDOWN | responses(404))
def get_passport(name: Name, view: Passports, core: CoreOf, accept: Annotated[str, Header()] = "") -> Any:
    """All that is known of an adapter: its data, base, configuration and versions, metrics, evaluations, who promoted
    it when and why, the runs that used it, and whether it could be made again. As a README: `Accept: text/markdown`."""
    adapter = _named(name, view)
    topics, id = topics_of(LoraAdapter), adapter["adapter_id"]
    history = core.feed.life(id, view.position, topics, view.db)
    passport = passports.passport(view.db, adapter) | {"history": history, "position": view.position}
    if MARKDOWN in accept:
        return PlainTextResponse(card(jsonable_encoder(passport)), media_type=MARKDOWN)
    return passport


@router.post("/{name}/promote", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def promote_adapter(name: Name, command: Commands, version: ExpectedVersion, body: Promotion) -> Written:
    """From here on its alias means this adapter; runs that have begun keep theirs."""
    return await command(PromoteAdapter(name, body.reason, body.evaluation, expected_version=version))


@router.post("/{alias}/rollback", dependencies=needs(Role.OPERATOR), responses=responses(404, 409))
async def roll_back_adapter(
    alias: Annotated[str, Path(max_length=48, examples=["team"])], command: Commands, body: Rollback
) -> Written:
    """Takes the adapter in use out of use: the alias means again what it meant before, or the base model. What was
    rolled back comes into use again only by another promotion."""
    return await command(RollBackAdapter(alias, body.reason, body.adapter))


@router.post("/{name}/reproduce", status_code=202, dependencies=needs(Role.OPERATOR), responses=responses(404))
async def reproduce_adapter(name: Name, command: Commands, body: Again = NOT_ANYWAY) -> Written:
    """Asks for a training that makes the adapter again, under the next revision: its dataset is built from the events
    once more, and hashes are compared. The passport tells what came of it."""
    return await command(ReproduceAdapter(name, body.anyway), location="/v1/training-runs/{id}")


@router.post("/{name}/retire", dependencies=needs(Role.OPERATOR), responses=responses(404, 412))
async def retire_adapter(name: Name, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON) -> Written:
    """Takes an adapter out of use for good; its alias means the one promoted before it. Model servers serve it no more,
    and a run that still asks for it fails."""
    return await command(RetireAdapter(name, body.reason, version))


def _named(name: str, view: View) -> Row:
    """Raises NotFound."""
    adapter = lora_adapters.find(view.db, name)
    if adapter is None:
        raise no_such_adapter(name)
    return adapter
