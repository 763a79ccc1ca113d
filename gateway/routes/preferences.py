"""/v1/preferences: pairs of answers, and what people say of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Path, Query
from pydantic import Field

from commands.preferences import (
    AnnotatePreference,
    AssignPreference,
    NotePreference,
    ProposePreference,
    Rated,
    RevisePreference,
    SkipPreference,
    UnassignPreference,
    UndoOpinion,
    WithdrawPreference,
)
from domain.access import Caller, Role
from domain.catalogue import topics_of
from domain.dataset_recipe import TRAIN
from domain.errors import Invalid
from domain.model_call import Message
from domain.opinion import IN_QUEUE, Standing
from domain.ports.events import Written
from domain.preference import Completion, Pair, Preference, Verdict
from domain.rubric import MOST_CRITERIA
from gateway.annotation_shapes import Opinions
from gateway.auth import Who, needs
from gateway.bootstrap import Core
from gateway.errors import Forbidden, responses
from gateway.preference_shapes import PairLineage, PreferenceHistory, PreferencePair
from gateway.requests import (
    NO_REASON,
    Commands,
    CoreOf,
    Cursor,
    ExpectedVersion,
    Limit,
    OpenView,
    Reason,
    Tag,
    View,
    found,
    reaching,
    viewing,
)
from gateway.shapes import page_of
from gateway.strict import Body, StrictRoute
from projections import datasets, dpo_annotations, opinions, pair_lineage
from projections.projector import Row

router = APIRouter(
    prefix="/v1/preferences", tags=["preferences"], route_class=StrictRoute, dependencies=needs(Role.VIEWER)
)
Pairs = Annotated[View, viewing(dpo_annotations.PROJECTOR)]
Said = Annotated[View, viewing(opinions.PROJECTOR, dpo_annotations.PROJECTOR)]
Lineages = Annotated[OpenView, reaching(*pair_lineage.NEEDED)]
Note = Annotated[str, Field(max_length=4000)]
Subject = Annotated[str, Path(min_length=1, max_length=200, description="The name of the annotator's token")]


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


class Rating(Body):
    """What somebody says of a pair besides the verdict."""

    note: Note = ""
    ratings: dict[str, int] = Field(
        default={}, max_length=MOST_CRITERIA, description="By criterion of the rubric the level, from 1"
    )
    rubric: int | None = Field(default=None, ge=0, description="The version that was rated by; 412 if not current")

    @property
    def rated(self) -> Rated:
        return Rated(self.ratings, self.rubric)


class Opinion(Rating):
    """A verdict on the pair as it was proposed."""

    verdict: Literal["accepted", "flipped", "rejected"]


class Edit(Rating):
    """New texts for the last message of the chosen answer, and of the rejected one where given."""

    verdict: Literal["edited"]
    chosen: str
    rejected: str | None = None


class Remark(Body):
    """A note without a verdict."""

    note: Annotated[str, Field(min_length=1, max_length=4000)]


@router.get("", response_model=page_of(PreferencePair))
def list_preferences(
    view: Pairs,
    state: Standing | None = None,
    run: UUID | None = None,
    method: Annotated[str | None, Query(description="The ranking behind the pair, e.g. bradley-terry/1")] = None,
    agent: Annotated[str | None, Query(description="Wrote one of the two answers")] = None,
    import_id: Annotated[UUID | None, Query(alias="import", description="Added by that import")] = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="By when they were proposed")] = "newest",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Pairs. What waits for an annotator: `state=waiting&order=oldest`."""
    wanted = dpo_annotations.Filter(state, method, run, agent, import_id)
    return view.page(dpo_annotations.pairs(view.db, wanted, cursor, limit, newest_first=order == "newest"))


@router.post("", status_code=201, dependencies=needs(Role.ANNOTATOR))
async def propose_preference(body: Proposal, command: Commands) -> Written:
    """A pair written by hand. It waits for a verdict like any other."""
    pair = Pair(_messages(body.prompt), Completion(_messages(body.chosen)), Completion(_messages(body.rejected)))
    return await command(ProposePreference(pair), location="/v1/preferences/{id}")


@router.get("/{preference_id}", response_model=PreferenceHistory, responses=responses(404))
def get_preference(preference_id: UUID, view: Pairs, core: CoreOf, tag: Tag) -> dict[str, Any]:
    """A pair as it stands, and what was said of it: how it was proposed and the newest 499 events since, at most."""
    pair = tag.named(found(dpo_annotations.find(view.db, preference_id), "preference", preference_id))
    topics = topics_of(Preference)
    return pair | {"history": core.feed.life(preference_id, pair["position"], topics, view.db)}


@router.get("/{preference_id}/lineage", response_model=PairLineage, responses=responses(404, 503))
def trace_preference(
    preference_id: UUID,
    open_view: Lineages,
    core: CoreOf,
    limit: Annotated[int, Query(ge=1, le=200, description="How many of the newest datasets to look into")] = 50,
) -> dict[str, Any]:
    """Where a pair comes from: run, answers and ballots, or the import; events and people; and where it went: datasets,
    trainings and adapters."""
    with open_view() as view:
        pair = found(dpo_annotations.find(view.db, preference_id), "preference", preference_id)
        candidates = pair_lineage.candidates(view.db, pair, limit)
    holding = [
        dataset | asdict(held)
        for dataset in candidates
        if (held := core.pairs.find(datasets.parts_of(dataset), preference_id))
    ]
    with open_view() as view:
        return _lineage(view, core, pair, holding)


def _lineage(view: View, core: Core, pair: Row, holding: list[Row]) -> dict[str, Any]:
    """Of a pair that is in these datasets."""
    id, topics = pair["preference_id"], topics_of(Preference)
    trainings = pair_lineage.trainings(view.db, [each for each in holding if each["part"] == TRAIN])
    names = [training["adapter_name"] for training in trainings if training["adapter_name"]]
    return {
        "preference_id": id,
        **pair_lineage.origins(view.db, pair),
        "events": core.feed.life(id, pair["position"], topics, view.db),
        "people": pair_lineage.people(view.db, pair),
        "datasets": holding,
        "trainings": trainings,
        "adapters": pair_lineage.adapters(view.db, names),
        "position": view.position,
    }


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
    """Accepts, flips, rejects or edits a pair. It replaces what the caller said before, which stays in its history.
    What counts is what most say, once as many have spoken as the rubric wants."""
    match body:
        case Edit(chosen=chosen, rejected=rejected):
            return await command(RevisePreference(preference_id, chosen, rejected, body.note, version, body.rated))
        case Opinion(verdict=verdict):
            return await command(AnnotatePreference(preference_id, Verdict(verdict), body.note, version, body.rated))


@router.get("/{preference_id}/opinions", response_model=Opinions, responses=responses(404))
def show_opinions(preference_id: UUID, view: Said, caller: Who) -> dict[str, Any]:
    """The opinions in force. While people are asked about the pair, those of others are told to whoever has given their
    own, that it may be one."""
    pair = found(dpo_annotations.find(view.db, preference_id), "preference", preference_id)
    said = [each for each in opinions.of_pair(view.db, preference_id) if each["annotator"] in pair["spoken_by"]]
    mine = next((each for each in said if each["annotator"] == caller.actor.subject), None)
    others = [each for each in said if each is not mine]
    told = others if mine or pair["state"] not in IN_QUEUE else []
    return {"mine": mine, "others": told, "hidden": len(others) - len(told), "position": view.position}


@router.post("/{preference_id}/undo", dependencies=needs(Role.ANNOTATOR), responses=responses(404, 409))
async def undo_opinion(preference_id: UUID, command: Commands, body: Reason = NO_REASON) -> Written:
    """Takes back the caller's latest opinion on the pair; what they said before it counts again. Nothing is erased."""
    return await command(UndoOpinion(preference_id, body.reason))


@router.post("/{preference_id}/skip", dependencies=needs(Role.ANNOTATOR), responses=responses(404, 409))
async def skip_preference(preference_id: UUID, command: Commands, body: Reason = NO_REASON) -> Written:
    """The pair is not offered to the caller any more; others still get it."""
    return await command(SkipPreference(preference_id, body.reason))


@router.post("/{preference_id}/notes", status_code=201, dependencies=needs(Role.ANNOTATOR), responses=responses(404))
async def note_preference(preference_id: UUID, body: Remark, command: Commands) -> Written:
    """A note without a verdict."""
    return await command(NotePreference(preference_id, body.note))


@router.put("/{preference_id}/assignees/{annotator}", dependencies=needs(Role.ANNOTATOR), responses=responses(404, 409))
async def assign_preference(
    preference_id: UUID, annotator: Subject, caller: Who, command: Commands, core: CoreOf
) -> Written:
    """The pair comes first in that annotator's queue. Annotators assign themselves, operators anybody who may judge."""
    _may_assign(caller, annotator)
    role = await to_thread.run_sync(core.tokens.role_of, annotator)
    if role is None or not role.includes(Role.ANNOTATOR):
        raise Invalid(f"no token in force is called {annotator} and may judge; `caravan tokens list` names them")
    return await command(AssignPreference(preference_id, annotator))


@router.delete("/{preference_id}/assignees/{annotator}", dependencies=needs(Role.ANNOTATOR), responses=responses(404))
async def unassign_preference(preference_id: UUID, annotator: Subject, caller: Who, command: Commands) -> Written:
    """It is one among others in their queue again."""
    _may_assign(caller, annotator)
    return await command(UnassignPreference(preference_id, annotator))


def _may_assign(caller: Caller, annotator: str) -> None:
    """Raises Forbidden."""
    if annotator != caller.actor.subject and not caller.role.includes(Role.OPERATOR):
        raise Forbidden(f"to assign others needs the role {Role.OPERATOR}; you may take a pair yourself")


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
