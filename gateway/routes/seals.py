"""/v1/seals and proofs: that the log is what it was, for somebody who does not trust this server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from domain.access import Role
from gateway.auth import needs
from gateway.errors import responses
from gateway.requests import MAX_POSITION, CoreOf, Cursor, Limit, position_of
from gateway.shapes import PageOf
from gateway.strict import StrictRoute

router = APIRouter(tags=["audit"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))

Hex = Annotated[str, Field(pattern="^([0-9a-f]{2})*$")]


class SealEntry(BaseModel):
    """The signed root of the Merkle tree (RFC 9162) over all events up to a position. What is signed is this object
    without the signature, as RFC 8785 writes it."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["caravan-seal/1"]
    number: int
    size: int = Field(description="How many events it covers, those of earlier seals included")
    root: Hex
    first_position: int = Field(description="The first that the seal before does not cover")
    last_position: int
    sealed_at: str = Field(json_schema_extra={"format": "date-time"}, description="In UTC, as it is signed")
    previous: Hex | None = Field(description="SHA-256 of what is signed of the seal before; null for the first")
    key_id: str = Field(description="The beginning of the public key's SHA-256")
    signature: Hex = Field(description="Ed25519")


class SealStatus(BaseModel):
    """How far the log is sealed and anchored, in positions."""

    head: int = Field(description="The last event's")
    sealed: int = Field(description="Up to here it is sealed; 0: nothing is")
    unsealed: int = Field(description="Positions that are not sealed yet")
    anchored: dict[str, int] = Field(description="Up to where the newest seal goes that was kept outside, by place")
    latest: SealEntry | None


class InclusionProof(BaseModel):
    """That an event is in a sealed tree. `deploy/verify_proof.py` checks it, and needs the public key alone."""

    format: Literal["caravan-inclusion/1"]
    event: dict[str, Any] = Field(description="Its envelope and the commitment to its data: the leaf of docs/audit.md")
    data: str | None = Field(default=None, description="The exact text that was committed to; null where it was erased")
    salt: Hex | None = Field(default=None, description="What was hashed before the data")
    leaf_index: int
    audit_path: list[Hex]
    seal: SealEntry


@router.get("/v1/seals")
def list_seals(core: CoreOf, cursor: Cursor = None, limit: Limit = 50) -> PageOf[SealEntry]:
    """Every seal, the newest first."""
    found = core.seals.page(None if cursor is None else position_of(cursor), limit + 1)
    items = [SealEntry.model_validate(seal) for seal in found[:limit]]
    more = str(items[-1].number) if len(found) > limit else None
    return PageOf[SealEntry](items=items, next=more, position=core.seals.standing().sealed)


@router.get("/v1/seals/latest")
def get_standing(core: CoreOf) -> SealStatus:
    """How far the log is sealed and anchored, and its newest seal."""
    standing, latest = core.seals.standing(), core.seals.latest()
    return SealStatus(
        head=standing.head,
        sealed=standing.sealed,
        unsealed=standing.unsealed,
        anchored=dict(standing.anchored),
        latest=None if latest is None else SealEntry.model_validate(latest),
    )


@router.get("/v1/events/{position}/proof", responses=responses(404, 409))
def prove_event(
    position: Annotated[int, Path(ge=1, le=MAX_POSITION)],
    core: CoreOf,
    seal: Annotated[int | None, Query(ge=1, le=MAX_POSITION, description="In this seal; the newest by default")] = None,
    data: Annotated[bool, Query(description="With the data and its salt")] = True,
) -> InclusionProof:
    """Proves that the event was there, as it is, when the log was sealed. 409 for one that is not sealed yet."""
    return InclusionProof.model_validate(core.proofs.of_event(position, seal, data))
