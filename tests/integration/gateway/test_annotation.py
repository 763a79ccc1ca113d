"""Several people judge pairs: each has a queue, says their own word, and is told the others' only then."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import httpx
import pytest

from domain.access import Role
from domain.catalogue import topics_of
from domain.errors import Invalid
from domain.events import ActorKind
from domain.pair import Verdict
from domain.preference import Preference
from projections import opinions
from tests import story
from tests.builders import NOW, a_preference
from tests.fakes import an_envelope
from tests.integration.gateway.conftest import PAIR, Gateway

TRUTH = {
    "name": "truth",
    "question": "Which one is true?",
    "levels": ["the right one", "both", "the left one"],
    "compares": True,
}


class Room:
    """Ada, ben and cyd annotate, and an operator looks after them."""

    def __init__(self, gateway: Gateway, clients: dict[str, httpx.AsyncClient]) -> None:
        self.gateway = gateway
        self.clients = clients

    async def pair(self, prompt: str = "Name a prime.") -> str:
        body = PAIR | {"prompt": [{"role": "user", "content": prompt}]}
        return str((await self.told("ada", "POST", "/v1/preferences", body))["id"])

    async def told(self, who: str, method: str, path: str, body: Any = None, status: int = 0) -> dict[str, Any]:
        """What is answered, once the read models know of it."""
        answer = await self.clients[who].request(method, path, json=body)
        assert answer.status_code == status if status else answer.is_success, answer.text
        self.gateway.catch_up()
        found: dict[str, Any] = answer.json()
        return found

    async def says(self, who: str, pair: str, verdict: str, **more: Any) -> dict[str, Any]:
        return await self.told(who, "POST", f"/v1/preferences/{pair}/annotations", {"verdict": verdict} | more)

    async def queue(self, who: str, **query: Any) -> list[str]:
        answer = await self.clients[who].get("/v1/annotations/queue", params=query)
        return [each["preference_id"] for each in answer.json()["items"]]

    async def state(self, pair: str) -> tuple[str, str | None]:
        found = await self.told("ada", "GET", f"/v1/preferences/{pair}")
        return found["state"], found["verdict"]


@pytest.fixture
async def room(gateway: Gateway):
    async with AsyncExitStack() as stack:
        tokens = {
            name: gateway.core.tokens.create(name, Role.ANNOTATOR, ActorKind.HUMAN, by="test")
            for name in ("ada", "ben", "cyd")
        }
        clients = {name: await stack.enter_async_context(gateway.client(token=token)) for name, token in tokens.items()}
        clients["operator"] = await stack.enter_async_context(gateway.client(Role.OPERATOR))
        yield Room(gateway, clients)


async def test_a_pair_that_people_disagree_on_comes_first_to_whoever_has_not_judged_it(room: Room) -> None:
    first, second = await room.pair("One?"), await room.pair("Two?")
    assert await room.queue("ada") == [first, second]
    await room.says("ada", second, "accepted")
    assert await room.state(second) == ("settled", "accepted")
    await room.says("ben", second, "flipped")
    assert await room.state(second) == ("disputed", None)
    assert await room.queue("ada") == await room.queue("ben") == [first]
    assert await room.queue("cyd") == [second, first]
    await room.says("cyd", second, "flipped")
    assert await room.state(second) == ("settled", "flipped")


async def test_a_word_is_taken_back_and_the_pair_waits_again(room: Room) -> None:
    pair = await room.pair()
    await room.says("ada", pair, "rejected")
    await room.told("ada", "POST", f"/v1/preferences/{pair}/undo", {"reason": "the wrong key"}, status=200)
    assert await room.state(pair) == ("waiting", None)
    assert await room.queue("ada") == [pair]
    await room.told("ada", "POST", f"/v1/preferences/{pair}/undo", status=409)
    history = (await room.told("ada", "GET", f"/v1/preferences/{pair}"))["history"]
    types = [event["type"] for event in history]
    assert types == ["preference.proposed", "preference.annotated", "preference.undone"]


async def test_a_skipped_pair_is_offered_to_others_and_again_to_whom_it_is_assigned(room: Room) -> None:
    older, pair = await room.pair("One?"), await room.pair("Two?")
    await room.told("ada", "POST", f"/v1/preferences/{pair}/skip", {"reason": "I know the author"}, status=200)
    assert (await room.queue("ada"), await room.queue("ben")) == ([older], [older, pair])
    await room.told("operator", "PUT", f"/v1/preferences/{pair}/assignees/ada", status=200)
    assert await room.queue("ada") == [pair, older]
    queue = (await room.clients["ada"].get("/v1/annotations/queue")).json()
    assert (queue["count"], queue["items"][0]["mine"], queue["items"][0]["reasons"]) == (2, True, ["assigned to you"])
    await room.told("operator", "DELETE", f"/v1/preferences/{pair}/assignees/ada", status=200)
    assert await room.queue("ada") == [older, pair]


async def test_annotators_take_pairs_themselves_and_operators_assign_anybody(room: Room) -> None:
    pair = await room.pair()
    await room.told("ada", "PUT", f"/v1/preferences/{pair}/assignees/ada", status=200)
    await room.told("ada", "PUT", f"/v1/preferences/{pair}/assignees/ben", status=403)
    await room.told("ben", "DELETE", f"/v1/preferences/{pair}/assignees/ada", status=403)
    room.gateway.core.tokens.create("vi", Role.VIEWER, ActorKind.HUMAN, by="test")
    for nobody_who_judges in ("vi", "zoe"):
        path = f"/v1/preferences/{pair}/assignees/{nobody_who_judges}"
        assert "may judge" in (await room.told("operator", "PUT", path, status=422))["detail"]
    assert (await room.told("ada", "GET", f"/v1/preferences/{pair}"))["assigned_to"] == ["ada"]


async def test_what_others_say_is_told_to_whoever_has_spoken(room: Room) -> None:
    pair = await room.pair()
    await room.says("ada", pair, "accepted", note="7 is prime")
    await room.says("ben", pair, "flipped")
    before = await room.told("cyd", "GET", f"/v1/preferences/{pair}/opinions")
    assert (before["mine"], before["others"], before["hidden"]) == (None, [], 2)
    queued = (await room.clients["cyd"].get("/v1/annotations/queue")).json()["items"][0]
    assert {"verdict", "note", "annotated_by", "spoken_by"}.isdisjoint(queued)
    await room.says("cyd", pair, "accepted")
    after = await room.told("cyd", "GET", f"/v1/preferences/{pair}/opinions")
    assert (after["mine"]["verdict"], after["hidden"]) == ("accepted", 0)
    assert [(each["annotator"], each["choice"]) for each in after["others"]] == [
        ("ada", "accepted"),
        ("ben", "flipped"),
    ]


async def test_a_word_of_before_it_was_told_who_spoke_is_not_told_once_it_is_replaced(room: Room) -> None:
    old = a_preference()
    old.annotate(Verdict.FLIPPED, "", NOW)
    room.gateway.core.store.session(an_envelope()).save(old)
    await room.says("ada", str(old.id), "accepted")
    found = await room.told("ben", "GET", f"/v1/preferences/{old.id}/opinions")
    assert [(each["annotator"], each["choice"]) for each in found["others"]] == [("ada", "accepted")]


async def test_a_note_is_kept_in_the_history_and_judges_nothing(room: Room) -> None:
    pair = await room.pair()
    await room.told("ada", "POST", f"/v1/preferences/{pair}/notes", {"note": "1 is none"}, status=201)
    found = await room.told("ada", "GET", f"/v1/preferences/{pair}")
    assert (found["state"], found["history"][-1]["data"]["note"]) == ("waiting", "1 is none")
    await room.told("ada", "POST", f"/v1/preferences/{pair}/notes", {"note": " "}, status=422)


async def test_of_a_long_history_the_newest_events_and_the_first_are_told(room: Room) -> None:
    pair = await room.pair()
    for note in ("one", "two", "three"):
        await room.told("ada", "POST", f"/v1/preferences/{pair}/notes", {"note": note}, status=201)
    feed, head, topics = room.gateway.core.feed, room.gateway.core.store.head(), topics_of(Preference)

    def told(most: int) -> list[str]:
        events = feed.life(UUID(pair), head, topics, limit=most)
        return [event["data"].get("note", "proposed") for event in events]

    assert told(500) == told(4) == ["proposed", "one", "two", "three"]
    assert told(3) == ["proposed", "two", "three"]


async def test_a_rubric_says_what_is_rated_and_how_many_people_a_pair_wants(room: Room) -> None:
    usual = await room.told("ada", "GET", "/v1/annotations/rubric")
    assert (usual["version"], usual["annotators"]) == (0, 1)
    body = {"criteria": [TRUTH], "annotators": 2, "reason": "four eyes"}
    await room.told("ada", "PUT", "/v1/annotations/rubric", body, status=403)
    operator = room.clients["operator"]
    unseen = await operator.put("/v1/annotations/rubric", json=body, headers={"If-Match": '"7"'})
    assert unseen.status_code == 412
    first = await operator.put("/v1/annotations/rubric", json=body, headers={"If-Match": '"0"'})
    assert first.status_code == 201
    room.gateway.catch_up()
    assert (await room.told("ada", "GET", "/v1/annotations/rubric"))["criteria"] == [TRUTH]
    pair = await room.pair()
    queued = (await room.clients["ada"].get("/v1/annotations/queue")).json()["items"]
    assert [each["wanted"] for each in queued] == [2]
    await room.says("ada", pair, "accepted", ratings={"truth": 3}, rubric=1)
    assert await room.state(pair) == ("waiting", None)
    await room.says("ben", pair, "accepted", ratings={"truth": 1})
    assert await room.state(pair) == ("settled", "accepted")
    other = f"/v1/preferences/{pair}/annotations"
    for wrong, status in (
        ({"ratings": {"beauty": 1}}, 422),
        ({"ratings": {"truth": 4}}, 422),
        ({"ratings": {"truth": 1}, "rubric": 0}, 412),
    ):
        await room.told("cyd", "POST", other, {"verdict": "accepted"} | wrong, status=status)
    found = await room.told("ada", "GET", "/v1/annotations/agreement")
    assert [(each["criterion"], each["pairs"]) for each in found["criteria"]] == [("truth", 1)]
    versions = await room.told("ada", "GET", "/v1/annotations/rubrics")
    assert [(each["version"], each["reason"]) for each in versions["items"]] == [(1, "four eyes")]


def test_agreement_is_not_of_more_than_can_be_held_at_once(told: Gateway) -> None:
    with told.core.engine.connect() as db:
        assert set(opinions.of_people(db)[0]) == set(opinions.JUDGED)
        with pytest.raises(Invalid, match="narrow since and until"):
            opinions.of_people(db, most=1)


async def test_agreement_is_of_what_is_in_force_or_was_at_any_position(told: Gateway) -> None:
    async with told.client(Role.VIEWER) as viewer:
        now = (await viewer.get("/v1/annotations/agreement")).json()
        of_long_ago = (await viewer.get("/v1/annotations/agreement", params={"as_of": 1})).json()
        of_the_future = await viewer.get("/v1/annotations/agreement", params={"as_of": 99_999})
        moment = story.BEGINNING.isoformat()
        before, since = [
            (await viewer.get("/v1/annotations/agreement", params={name: moment})).json() for name in ("until", "since")
        ]
    assert now["overall"] == {"annotators": 2, "pairs": 1, "unanimous": 0, "alpha": 0.0}
    likelihood = {"judge": "ada", "method": "likelihood/1", "pairs": 3, "agreed": 2, "kappa": 0.0}
    assert now["judges"] == [likelihood]
    assert (of_long_ago["overall"]["annotators"], of_long_ago["judges"]) == (0, [])
    assert (before["overall"]["pairs"], since["overall"]["pairs"]) == (0, 1)
    assert (of_the_future.status_code, "read models" in of_the_future.json()["detail"]) == (422, True)
