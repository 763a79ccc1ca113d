"""/v1/preferences: pairs of answers, and what people say of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from commands.preferences import AnnotatePreference, ProposePreference, RevisePreference, WithdrawPreference
from domain.access import Role
from domain.catalogue import topics_of
from domain.model_call import Message
from domain.ports import Written
from domain.preference import Completion, Pair, Preference, Verdict
from gateway.auth import needs
from gateway.errors import responses
from gateway.requests import Commands, CoreOf, Cursor, ExpectedVersion, Limit, Tag, View, found, viewing
from gateway.shapes import PreferenceHistory, PreferencePair, page_of
from gateway.strict import Body, StrictRoute
from projections import dpo_annotations
from projections.dpo_annotations import Standing

router = APIRouter(
    prefix="/v1/preferences", tags=["preferences"], route_class=StrictRoute, dependencies=needs(Role.VIEWER)
)
Pairs = Annotated[View, viewing(dpo_annotations.PROJECTOR)]
Note = Annotated[str, Field(max_length=4000)]


class Spoken(Body):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


Conversation = Annotated[list[Spoken], Field(min_length=1)]


class Proposal(Body):
    """Two ways to go on from one prompt, the better one first, in TRL's conversational form."""

    prompt: Conversation = Field(examples=[[{"role": "user", "content": "Name a prime number."}]])
    chosen: Conversation = Field(examples=[[{"role": "assistant", "content": "7"}]])
    rejected: Conversation = Field(examples=[[{"role": "assistant", "content": "9"}]])


class Opinion(Body):
    """A verdict on the pair as it was proposed."""

    verdict: Literal["accepted", "flipped", "rejected"]
    note: Note = ""


class Edit(Body):
    """New texts for the last message of the chosen answer, and of the rejected one where given."""

    verdict: Literal["edited"]
    chosen: str
    rejected: str | None = None
    note: Note = ""


@router.get("", response_model=page_of(PreferencePair))
def list_preferences(
    view: Pairs,
    state: Standing | None = None,
    run: UUID | None = None,
    method: Annotated[str | None, Query(description="The ranking behind the pair, e.g. bradley-terry/1")] = None,
    agent: Annotated[str | None, Query(description="Wrote one of the two answers")] = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="By when they were proposed")] = "newest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Pairs. What waits for an annotator: `state=waiting&order=oldest`."""
    wanted = dpo_annotations.Filter(state, method, run, agent)
    return view.page(dpo_annotations.pairs(view.db, wanted, cursor, limit, newest_first=order == "newest"))


@router.post("", status_code=201, dependencies=needs(Role.ANNOTATOR))
async def propose_preference(body: Proposal, command: Commands) -> Written:
    """A pair written by hand. It waits for a verdict like any other."""
    pair = Pair(_messages(body.prompt), Completion(_messages(body.chosen)), Completion(_messages(body.rejected)))
    return await command(ProposePreference(pair), location="/v1/preferences/{id}")


@router.get("/{preference_id}", response_model=PreferenceHistory, responses=responses(404))
def get_preference(preference_id: UUID, view: Pairs, core: CoreOf, tag: Tag) -> dict[str, Any]:
    """A pair as it stands, with every opinion that there ever was."""
    pair = found(dpo_annotations.find(view.db, preference_id), "preference", preference_id)
    tag.name(pair)
    topics = topics_of(Preference)
    history = core.feed.page(upto=pair["position"], types=topics, aggregate=preference_id, db=view.db)
    return pair | {"history": history}


@router.post(
    "/{preference_id}/annotations",
    status_code=201,
    dependencies=needs(Role.ANNOTATOR),
    responses=responses(404, 409, 412),
)
async def annotate_preference(
    preference_id: UUID,
    body: Annotated[Opinion | Edit, Field(discriminator="verdict")],
    command: Commands,
    version: ExpectedVersion,
) -> Written:
    """Accepts, flips, rejects or edits a pair. The opinion before stays in its history."""
    match body:
        case Edit():
            return await command(RevisePreference(preference_id, body.chosen, body.rejected, body.note, version))
        case Opinion():
            return await command(AnnotatePreference(preference_id, Verdict(body.verdict), body.note, version))


@router.delete("/{preference_id}", dependencies=needs(Role.ANNOTATOR), responses=responses(404, 412))
async def withdraw_preference(
    preference_id: UUID,
    command: Commands,
    version: ExpectedVersion,
    reason: Annotated[str, Query(max_length=2000)] = "",
) -> Written:
    """Takes a pair out of every later dataset. Nothing is erased."""
    return await command(WithdrawPreference(preference_id, reason, version))


def _messages(conversation: list[Spoken]) -> tuple[Message, ...]:
    return tuple(Message(spoken.role, spoken.content) for spoken in conversation)
