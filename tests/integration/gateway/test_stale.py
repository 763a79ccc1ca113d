"""What the API says of rows that lack an event."""

from __future__ import annotations

from domain.access import Role
from projections import checkpoints, dpo_annotations
from projections.checkpoints import Poison
from tests import story
from tests.integration.gateway.conftest import Gateway


async def test_a_row_that_lacks_an_event_says_so_and_has_no_tag_to_rely_on(told: Gateway) -> None:
    flipped, accepted = story.id_of("flipped"), story.id_of("accepted")
    name = dpo_annotations.PROJECTOR.name
    async with told.client(Role.VIEWER) as client:
        before = await client.get(f"/v1/preferences/{flipped}")
        assert before.headers["etag"]
        assert not before.json()["stale"]

        with told.core.engine.begin() as db:
            checkpoints.park(db, name, Poison(1, "preference.annotated", flipped, ValueError("a bug")))
        known = {"If-None-Match": before.headers["etag"]}
        after = await client.get(f"/v1/preferences/{flipped}", headers=known)
        assert after.status_code == 200
        assert after.json()["stale"]
        assert "etag" not in after.headers

        pairs = (await client.get("/v1/preferences")).json()["items"]
        assert {pair["preference_id"]: pair["stale"] for pair in pairs if pair["stale"]} == {str(flipped): True}
        assert (await client.get(f"/v1/preferences/{accepted}")).headers["etag"]
        projections = (await client.get("/v1/projections")).json()["items"]
        assert {one["name"]: one["stale"] for one in projections if one["parked"]} == {name: 1}
