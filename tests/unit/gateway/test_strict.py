"""Strict routes: which role one asks for."""

from __future__ import annotations

import pytest
from fastapi import APIRouter
from fastapi.routing import RouteContext, iter_route_contexts

from domain.access import Role
from gateway.auth import Needs, needed_role, needs
from gateway.strict import StrictRoute


def route(of_router: Role, of_route: Role) -> RouteContext:
    """Of a router that asks for one role, and itself for another."""
    router = APIRouter(route_class=StrictRoute, dependencies=needs(of_router))

    @router.get("/", dependencies=needs(of_route))
    async def anything() -> None: ...

    (found,) = iter_route_contexts(router.routes)
    return found


@pytest.mark.parametrize(("of_router", "of_route"), [(Role.ADMIN, Role.VIEWER), (Role.VIEWER, Role.ADMIN)])
def test_of_a_routers_role_and_a_routes_own_the_higher_one_is_asked_for_and_once(
    of_router: Role, of_route: Role
) -> None:
    asked = route(of_router, of_route)
    assert needed_role(asked) is Role.ADMIN
    dependencies = asked.dependant.dependencies  # type: ignore[attr-defined]  # it is one of FastAPI's routes
    assert [each.call.role for each in dependencies if isinstance(each.call, Needs)] == [Role.ADMIN]
