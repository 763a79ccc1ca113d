"""How events change: a made-up one through three versions, and what the check says when a step is left out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.domain import AggregateEvent
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic_core import to_json

from adapters.event_json import PlainJsonMapper, UnknownEvent, event_from, payload
from domain.catalogue import EVENT_TYPES
from tests.builders import NOW
from tests.event_schemas import schema_of
from tests.golden_events import problems, sample_file, write_missing

ID = UUID(int=1)
Json = dict[str, Any]


class Speed(StrEnum):
    NORMAL = "normal"
    EXPRESS = "express"


@dataclass(frozen=True)
class Address:
    name: str
    city: str


class Sent(AggregateEvent):
    """As it was at first."""

    TOPIC = "parcel.sent"
    to: str
    grams: int
    note: str = ""


class Sent2(AggregateEvent):
    """Its addressee lives somewhere."""

    TOPIC = "parcel.sent"
    class_version = 2
    to: Address
    grams: int
    note: str = ""

    @staticmethod
    def upcast_v1_v2(data: Json) -> Json:
        return data | {"to": {"name": data["to"], "city": ""}}


class Sent3(AggregateEvent):
    """It has a speed, and is weighed in kilograms."""

    TOPIC = "parcel.sent"
    class_version = 3
    to: Address
    kilograms: float
    speed: Speed
    note: str = ""

    upcast_v1_v2 = Sent2.upcast_v1_v2

    @staticmethod
    def upcast_v2_v3(data: Json) -> Json:
        kept = {name: value for name, value in data.items() if name != "grams"}
        return kept | {"kilograms": data["grams"] / 1000, "speed": Speed.NORMAL.value}


FIRST = Sent(originator_id=ID, originator_version=1, timestamp=NOW, to="Ada", grams=1500)
SECOND = Sent2(originator_id=ID, originator_version=1, timestamp=NOW, to=Address("Ada", "Wien"), grams=1500)
THIRD = Sent3(
    originator_id=ID,
    originator_version=1,
    timestamp=NOW,
    to=Address("Ada", "Wien"),
    kilograms=1.5,
    speed=Speed.EXPRESS,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With what was saved when version 1 and version 2 were the newest."""
    write_missing(FIRST, tmp_path)
    write_missing(SECOND, tmp_path)
    return tmp_path


@pytest.fixture(scope="module", autouse=True)
def _known() -> Iterator[None]:
    """Sent3 is in the catalogue."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EVENT_TYPES, Sent3.TOPIC, Sent3)
        yield


class TestReading:
    @given(
        st.builds(
            Sent,
            originator_id=st.just(ID),
            originator_version=st.just(1),
            timestamp=st.datetimes(timezones=st.just(UTC)),
            to=st.text(),
            grams=st.integers(0, 10**9),
            note=st.text(),
        )
    )
    def test_whatever_the_first_version_held_is_read_as_the_third(self, sent: Sent):
        event = event_from(Sent.TOPIC, to_json(payload(sent)), ID, 1)
        assert isinstance(event, Sent3)
        assert (event.to.name, event.kilograms, event.note) == (sent.to, sent.grams / 1000, sent.note)
        Draft202012Validator(schema_of(Sent3)).validate(payload(event))

    def test_the_second_version_goes_through_the_last_step_alone(self):
        event = event_from(Sent.TOPIC, to_json(payload(SECOND) | {"class_version": 2}), ID, 1)
        assert payload(event) == payload(THIRD) | {"speed": "normal"}

    def test_the_newest_version_is_written_with_its_number_and_comes_back_as_it_was(self):
        mapper = PlainJsonMapper()
        stored = mapper.to_stored_event(THIRD)
        assert json.loads(stored.state)["class_version"] == 3
        assert mapper.to_domain_event(stored) == THIRD

    @pytest.mark.parametrize("version", [4, 0, -1, "3", None])
    def test_a_version_that_is_not_ours_to_read_is_refused_and_not_guessed_at(self, version: object):
        with pytest.raises(UnknownEvent, match=r"parcel\.sent.*up to version 3.*newer Caravan"):
            event_from(Sent.TOPIC, to_json(payload(THIRD) | {"class_version": version}), ID, 1)


class TestTheCheck:
    def test_a_version_with_its_upcasters_samples_and_schemas_is_in_order(self, folder: Path):
        assert list(problems(Sent2, folder)) == []
        write_missing(THIRD, folder)
        assert list(problems(Sent3, folder)) == []

    def test_what_was_saved_stays_as_it_is(self, folder: Path):
        before = {file: file.read_bytes() for file in folder.iterdir()}
        write_missing(FIRST, folder)
        assert {file: file.read_bytes() for file in folder.iterdir()} == before

    def test_names_of_classes_order_and_prose_do_not_matter(self, folder: Path):
        @dataclass(frozen=True)
        class Place:
            """Where somebody lives."""

            city: str
            name: str

        class Renamed(AggregateEvent):
            """Says it better."""

            TOPIC = "parcel.sent"
            class_version = 2
            grams: int
            to: Place
            note: str = ""
            upcast_v1_v2 = Sent2.upcast_v1_v2

        assert list(problems(Renamed, folder)) == []

    def test_a_new_optional_field_is_another_form(self, tmp_path: Path):
        class Changed(AggregateEvent):
            TOPIC = "parcel.sent"
            to: str
            grams: int
            note: str = ""
            insured: bool = False

        assert "insured" in the_other_form(FIRST, Changed, tmp_path)

    def test_another_default_is_another_form(self, tmp_path: Path):
        class Changed(AggregateEvent):
            TOPIC = "parcel.sent"
            to: str
            grams: int
            note: str = "none"

        assert '"default": "none"' in the_other_form(FIRST, Changed, tmp_path)

    def test_one_more_value_of_an_enum_is_another_form(self, tmp_path: Path):
        class Faster(StrEnum):
            NORMAL = "normal"
            EXPRESS = "express"
            DRONE = "drone"

        class Changed(AggregateEvent):
            TOPIC = "parcel.sent"
            class_version = 3
            to: Address
            kilograms: float
            speed: Faster
            note: str = ""

        write_missing(FIRST, tmp_path)
        write_missing(SECOND, tmp_path)
        assert "drone" in the_other_form(THIRD, Changed, tmp_path)

    def test_a_change_deep_inside_is_another_form(self, folder: Path):
        @dataclass(frozen=True)
        class Place(Address):
            country: str | None = None

        class Changed(AggregateEvent):
            TOPIC = "parcel.sent"
            class_version = 2
            to: Place
            grams: int
            note: str = ""
            upcast_v1_v2 = Sent2.upcast_v1_v2

        assert "country" in the_other_form(SECOND, Changed, folder)

    def test_a_new_version_needs_its_files(self, folder: Path):
        (problem,) = problems(Sent3, folder)
        assert problem.startswith("parcel.sent.v3.json, parcel.sent.v3.schema.json: missing; run `python -m tests.gold")

    def test_an_old_version_needs_its_files_too(self, folder: Path):
        sample_file(Sent, 1, folder).unlink()
        (problem,) = problems(Sent2, folder)
        assert problem.startswith("parcel.sent.v1.json: missing")

    def test_a_version_cannot_be_taken_back(self, folder: Path):
        (problem,) = problems(Sent, folder)
        assert "had a version 2 already" in problem

    def test_a_new_version_needs_an_upcaster(self, folder: Path):
        assert "upcast_v1_v2 of parcel.sent fails on the sample of version 1" in the_problem_with(None, folder)

    def test_an_upcaster_must_cope_with_its_sample(self, folder: Path):
        assert "KeyError('weight')" in the_problem_with(lambda data: data | {"grams": data["weight"]}, folder)

    def test_an_upcaster_must_make_the_next_version(self, folder: Path):
        assert "is no version 2: $.to: 'Ada' is not of type 'object'" in the_problem_with(lambda data: data, folder)

    def test_an_upcaster_must_leave_what_it_is_given(self, folder: Path):
        def in_place(data: Json) -> Json:
            data["to"] = {"name": "Ada", "city": ""}
            return data

        assert "changes what it is given" in the_problem_with(in_place, folder)

    def test_an_upcaster_must_depend_on_nothing_else(self, folder: Path):
        cities = iter(["Wien", "Graz"])
        problem = the_problem_with(lambda data: data | {"to": {"name": "Ada", "city": next(cities)}}, folder)
        assert "makes two things of the same event" in problem


def the_other_form(saved: AggregateEvent, changed: type[AggregateEvent], folder: Path) -> str:
    """What the check says of a class that was changed without a new version."""
    write_missing(saved, folder)
    problem, *_ = problems(changed, folder)
    assert "Raise class_version to" in problem
    return problem


def the_problem_with(upcast: Any, folder: Path) -> str:
    """What the check says of version 2 with that upcaster, or none."""
    beside = {} if upcast is None else {"upcast_v1_v2": staticmethod(upcast)}
    annotations = {"to": Address, "grams": int, "note": str}
    body = {"__module__": __name__, "__annotations__": annotations, "TOPIC": Sent.TOPIC, "class_version": 2, "note": ""}
    (problem,) = problems(type(AggregateEvent)("Changed", (AggregateEvent,), body | beside), folder)
    return problem
