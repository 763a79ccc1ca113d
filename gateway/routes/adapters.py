"""/v1/adapters: what training has made, and which of it is in use."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from commands.lora_adapters import PromoteAdapter, RetireAdapter
from domain.access import Role
from domain.ports import Written
from gateway.auth import needs
from gateway.errors import responses
from gateway.requests import NO_REASON, Commands, Cursor, ExpectedVersion, Limit, Reason, Tag, View, found, viewing
from gateway.shapes import AdapterEntry, page_of
from gateway.strict import StrictRoute
from projections import lora_adapters
from projections.lora_adapters import AdapterState

router = APIRouter(prefix="/v1/adapters", tags=["adapters"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))
Adapters = Annotated[View, viewing(lora_adapters.PROJECTOR)]
Name = Annotated[str, Path(max_length=80, examples=["team@1"])]


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
    """An adapter's passport: the exact data, base model, configuration and seed that made it."""
    adapter = found(lora_adapters.find(view.db, name), "adapter", name)
    tag.set(adapter["version"])  # `in_use` changes with other adapters, so there is no 304
    return adapter


@router.post("/{name}/promote", dependencies=needs(Role.OPERATOR), responses=responses(404, 409, 412))
async def promote_adapter(name: Name, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON) -> Written:
    """From here on its alias means this adapter; runs that have begun keep theirs."""
    return await command(PromoteAdapter(name, body.reason, version))


@router.post("/{name}/retire", dependencies=needs(Role.OPERATOR), responses=responses(404, 412))
async def retire_adapter(name: Name, command: Commands, version: ExpectedVersion, body: Reason = NO_REASON) -> Written:
    """Takes an adapter out of use for good; its alias means the one promoted before it."""
    return await command(RetireAdapter(name, body.reason, version))
