"""agents.yaml over HTTP, byte for byte, and what is refused: with the place, the advice, and no effect at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.embedded.postgres import EmbeddedPostgres
from tests.conftest import new_database
from tests.integration.gateway.conftest import Gateway, opened
from tests.malformed_agents import GOOD, KEY, MALFORMED

ODD = (
    "\ufeff# The team\r\n\r\nagents:\r\n\r\n"
    "-   name: 'ada'  # tabs\tin a comment\r\n"
    '    "role":   computes   \r\n'
    "    system_message: >-   # folded\r\n"
    "        Compute\r\n"
    "        carefully.\r\n\r\n"
    "    # where it runs\r\n"
    "    model: {platform: embedded,   'name': \"tiny\" ,temperature: 0.70}\r\n"
    "#   ben comes later\r\n"
    "-   {name: ben, role: \"checks\", system_message: 'It''s wrong.', model: {platform: embedded, name: tiny}}"
).encode()
"""A byte order mark, CRLF, odd blanks and quotes, and no line end at the end."""

YAML = {"Accept": "application/yaml"}


@pytest.fixture(scope="module")
def roomy(
    embedded_postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway that all tests of the module share, and that takes large files. Its agents.yaml is the odd one."""
    folder = tmp_path_factory.mktemp("roomy")
    with new_database(embedded_postgres, template) as url, opened(url, folder, max_body_bytes=2**20) as gateway:
        yield gateway


@pytest.fixture
async def tag(roomy: Gateway) -> str:
    """The ETag of the odd file, put to use."""
    async with roomy.client() as admin:
        now = await admin.get("/v1/agents", headers=YAML)
        if now.content == ODD:
            return now.headers["etag"]
        precondition = {"If-Match": now.headers["etag"]} if now.is_success else {}
        answer = await admin.put("/v1/agents", content=ODD, headers=precondition)
        assert answer.status_code == 200, answer.text
        roomy.catch_up()
        return answer.headers["etag"]


async def test_an_odd_file_comes_back_byte_for_byte_and_a_change_of_one_prompt_changes_its_bytes_alone(
    roomy: Gateway, tag: str
) -> None:
    changed = ODD.replace(b"        carefully.", b"        carelessly.")
    async with roomy.client() as admin:
        assert (await admin.get("/v1/agents", headers=YAML)).content == ODD
        written = await admin.put("/v1/agents", content=changed, headers={"If-Match": tag})
        assert written.status_code == 200, written.text
        roomy.catch_up()
        assert (await admin.get("/v1/agents", headers=YAML)).content == changed
        [ada, _] = (await admin.get("/v1/agents")).json()["agents"]
    assert ada["system_message"] == "Compute carelessly."


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_malformed_file_is_refused_with_place_and_advice_and_the_old_one_stays_in_force(
    roomy: Gateway, tag: str, what: str
) -> None:
    file, place, advice = MALFORMED[what]
    head = roomy.core.store.head()
    async with roomy.client() as admin:
        refused = await admin.put("/v1/agents", content=file, headers={"If-Match": tag})
        assert (refused.status_code, refused.json()["type"]) == (422, "urn:caravan:problem:invalid"), refused.text
        detail = refused.json()["detail"]
        assert not place or detail.startswith((f"{place}: ", f"{place} ("))
        assert advice in detail
        assert KEY not in refused.text
        roomy.catch_up()
        current = await admin.get("/v1/agents", headers=YAML)
    assert (current.headers["etag"], current.content) == (tag, ODD)
    assert roomy.core.store.head() == head


async def test_the_file_that_they_were_made_from_is_accepted(roomy: Gateway, tag: str) -> None:
    async with roomy.client() as admin:
        assert (await admin.put("/v1/agents", content=GOOD, headers={"If-Match": tag})).status_code == 200
