"""Faults are told in plain words, at the place in what was sent."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from gateway.faults import Fault, fault
from gateway.routes.preferences import Edit, Opinion, Proposal
from gateway.routes.training import TrainingRequest
from gateway.routes.workflows import WorkflowRequest

VERDICT = Annotated[Opinion | Edit, Field(discriminator="verdict")]
TEXT = [{"role": "user", "content": "x"}]

SAID = [
    (VERDICT, {"verdict": "banana"}, "/verdict", "must be accepted, flipped, rejected or edited"),
    (VERDICT, {}, "/verdict", "is missing"),
    (VERDICT, {"verdict": "edited", "chosen": 3}, "/chosen", "must be text"),
    (VERDICT, {"verdict": "edited"}, "/chosen", "is missing"),
    (VERDICT, [], "", "must be a JSON object"),
    (VERDICT, {"verdict": "accepted", "x~/y": 1}, "/x~0~1y", "is not known here; remove it, or mend its spelling"),
    (WorkflowRequest, {"task": {"turns": []}}, "/task/turns", "must have at least 1 item"),
    (WorkflowRequest, {"task": {"turns": "x"}}, "/task/turns", "must be a list"),
    (WorkflowRequest, {"task": {"turns": ["a", " "]}}, "/task/turns/1", "must not be blank"),
    (WorkflowRequest, {"task": {"turns": ["a"]}, "max_tokens": 0}, "/max_tokens", "must be at least 1"),
    (WorkflowRequest, {"task": {"turns": ["a"]}, "max_tokens": 1.5}, "/max_tokens", "must be a whole number"),
    (WorkflowRequest, {"task": {"turns": ["a"]}, "batch": "x" * 201}, "/batch", "must have at most 200 characters"),
    (
        Proposal,
        {"prompt": [{"role": "x", "content": "y"}], "chosen": TEXT, "rejected": TEXT},
        "/prompt/0/role",
        "must be system, user, assistant or tool",
    ),
    (
        TrainingRequest,
        {"dataset_id": "x", "alias": "team"},
        "/dataset_id",
        "must be a UUID, e.g. 0198c0de-0000-7000-8000-000000000000",
    ),
]


@pytest.mark.parametrize(("model", "body", "pointer", "detail"), SAID)
def test_a_fault_says_where_and_what_without_the_librarys_words(
    model: Any, body: object, pointer: str, detail: str
) -> None:
    with pytest.raises(ValidationError) as noticed:
        TypeAdapter(model).validate_python(body)
    (error,) = noticed.value.errors()
    assert fault({**error, "loc": ("body", *error["loc"])}, body) == Fault(pointer=pointer, detail=detail)


def test_a_fault_reads_as_a_sentence() -> None:
    assert str(Fault(pointer="/task/turns/0", detail="is missing")) == "task.turns.0 is missing"
    assert str(Fault(pointer="", detail="is missing")) == "the body is missing"
    assert str(Fault(parameter="limit", detail="is missing")) == "limit is missing"
