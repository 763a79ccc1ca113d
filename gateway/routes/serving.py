"""/v1/serving: which adapters each model server serves, against those that it should."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from domain.access import Role
from domain.serving import ReplicaStanding
from gateway.auth import needs
from gateway.requests import CoreOf
from gateway.strict import StrictRoute

router = APIRouter(tags=["adapters"], route_class=StrictRoute, dependencies=needs(Role.VIEWER))


class Serving(BaseModel):
    """All model servers that the settings name."""

    looked_after: bool = Field(description="Whether some worker keeps them in step. Without one nobody knows of any")
    replicas: list[ReplicaStanding]


@router.get("/v1/serving")
def serving(core: CoreOf) -> Serving:
    """How each model server stands: in step with the registry, behind it, or away."""
    told = core.standings.told()
    return Serving(looked_after=told is not None, replicas=told or [])
