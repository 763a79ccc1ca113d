"""The console in a real browser, on a Caravan that runs."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any

import pytest
from httpx import Client
from playwright.sync_api import Page, expect

from adapters.console_account import SESSIONS
from adapters.kv import KeyValues
from adapters.locked_values import Lockers
from domain.sides import Sides
from tests.e2e.console import WORKING, Console
from tests.integration.processes import eventually
from tests.living_caravan import LivingCaravan
from tests.loop import eventually as soon
from ui.views.pair import CHOICES

pytestmark = pytest.mark.slow

TASK = "Why is the sky <b>blue</b>?"
EDITOR = re.compile("^editor$")


@pytest.mark.timeout(600)
def test_the_whole_loop_can_be_clicked_through(caravan: LivingCaravan, page: Page) -> None:
    person = Console(page, caravan.console_url)
    someone_signs_in(person, caravan)
    someone_starts_a_run_and_watches_it(person, caravan)
    someone_filters_the_log(person)
    someone_annotates(person, caravan)
    someone_looks_at_the_leaderboard(person)
    adapter = someone_trains(person)
    someone_promotes(person, adapter)
    the_next_run_uses_the_adapter(person, adapter)
    someone_edits_the_agents(person, caravan)
    assert person.hosts == {caravan.console_url.removeprefix("http://")}, "nothing is loaded from elsewhere"


def someone_signs_in(person: Console, caravan: LivingCaravan) -> None:
    person.sign_in("crv_wrong")
    expect(person.page.get_by_role("alert")).to_contain_text("not valid")
    person.picture("sign-in")
    person.sign_in(caravan.token)
    person.sees_title("Overview")
    person.picture("overview")


def someone_starts_a_run_and_watches_it(person: Console, caravan: LivingCaravan) -> None:
    person.open("Runs")
    person.type("Task", TASK)
    person.type("Tokens an answer, at most", "12")
    person.goes_and_comes_back()
    expect(person.field("Task")).to_have_value(TASK)
    expect(person.field("Tokens an answer, at most")).to_have_value("12")
    person.button("Start").dblclick()
    person.sees_title(TASK)
    person.sees("tokens in")
    person.picture("run-working")
    person.sees_state("completed")
    person.show("Ballots")
    expect(person.cells().filter(has_text="likelihood/1").first).to_be_attached()
    person.reload()
    person.sees_title(TASK)
    expect(person.cells().filter(has_text="likelihood/1").first).to_be_attached()
    person.picture("run-ballots")
    person.show("Steps")
    expect(person.cells().filter(has_text="answer").first).to_be_attached()
    person.choose_row(1)
    answered_by = the_model_and_adapter_of(person.place("run"), caravan)
    person.sees(answered_by)
    person.reload()
    person.sees(answered_by)
    person.picture("run-steps")
    with caravan.api() as api:
        mine = [run for run in api.get("/v1/workflows").json()["items"] if run["task"] == TASK]
    assert len(mine) == 1, "a double click starts one run"


def the_model_and_adapter_of(run: str, caravan: LivingCaravan) -> str:
    """As the console writes it. Another test may have promoted an adapter before."""
    with caravan.api() as api:
        adapter = api.get(f"/v1/workflows/{run}").json()["cast"][0]["adapter"]
    return f"{adapter} · {adapter}" if adapter else "smollm2-135m-instruct · base"


def someone_filters_the_log(person: Console) -> None:
    person.open("Log")
    person.type("Agent", "teacher")
    expect(person.page).to_have_url(re.compile("agent=teacher"))
    expect(person.cells().filter(has_text=EDITOR)).to_have_count(0)
    person.reload()
    expect(person.field("Agent")).to_have_value("teacher")
    expect(person.cells().filter(has_text="teacher").first).to_be_attached()
    expect(person.cells().filter(has_text=EDITOR)).to_have_count(0)
    person.picture("log")


def someone_looks_at_the_leaderboard(person: Console) -> None:
    person.open("Leaderboard")
    expect(person.cells().filter(has_text="teacher").first).to_be_attached()
    expect(person.page.get_by_role("heading", name="Judges")).to_be_visible()
    person.picture("leaderboard")


def someone_annotates(person: Console, caravan: LivingCaravan) -> None:
    person.open("Runs")
    person.choose_row(1)
    person.sees_title(TASK)
    run = person.place("run")
    person.show("Pairs")
    person.follow("Annotate these pairs")
    with caravan.api() as api:
        waiting = len(api.get(f"/v1/preferences?state=waiting&run={run}").json()["items"])
    person.picture("annotate")
    person.press("Annotate (")
    for verdict in ("accepted", "flipped", "rejected"):
        person.sees(f"{waiting} waiting")
        person.type("Note", f"{verdict} on sight")
        person.picture(f"annotate-{verdict}")
        person.press(which_says(verdict, person.place("pair")))
        waiting -= 1
    person.sees(f"{waiting} waiting")
    pair = person.place("pair")
    expect(person.button("Edit the texts")).to_be_disabled()
    person.press(which_says("accepted", pair))
    person.sees(f"{waiting - 1} waiting")
    person.page.goto(f"{caravan.console_url}/annotate?pair={pair}&run={run}")
    person.press("Edit the texts")
    expect(person.field("The worse answer")).not_to_have_value("")
    person.type("The better answer", "Air scatters blue light most.")
    person.goes_and_comes_back()
    expect(person.field("The better answer")).to_have_value("Air scatters blue light most.")
    person.picture("annotate-edited")
    person.press("Save the edit")
    expect(person.field("The better answer")).to_have_count(0)
    someone_changes_their_mind(person, run, caravan)
    with caravan.api() as api:
        pairs = api.get(f"/v1/preferences?run={run}").json()["items"]
    assert sorted(pair["verdict"] for pair in pairs if pair["verdict"]) == ["accepted", "edited", "flipped", "rejected"]
    assert {pair["annotated_by"] for pair in pairs if pair["verdict"]} == {"e2e"}


def which_says(verdict: str, pair: str) -> str:
    """The button that says so of the pair as it was proposed: by lot, its answers stand one way or the other."""
    sides = Sides.drawn("e2e", pair)
    return next(label for choice, (label, *_) in CHOICES.items() if sides.verdict(choice) == verdict)


def someone_changes_their_mind(person: Console, run: str, caravan: LivingCaravan) -> None:
    """About the flipped pair, whose answers stand where they stood."""
    flipped, edited = (the_pair_that_was(verdict, run, caravan) for verdict in ("flipped", "edited"))
    for pair, rank in ((edited, "Proposed as worse"), (flipped, "Better")):
        person.page.goto(f"{caravan.console_url}/annotate?pair={pair['preference_id']}&run={run}")
        person.sees(rank)
        person.picture(f"annotate-{pair['verdict']}-again")
    person.type("Note", "the same one, still")
    choice = which_says("flipped", flipped["preference_id"])
    person.press(choice)
    person.sees(f"you said: {choice}")
    with caravan.api() as api:
        newest = {"aggregate": flipped["preference_id"], "order": "newest", "limit": 1}
        said = api.get("/v1/events", params=newest).json()["items"][0]["data"]
    assert (said["verdict"], said["note"]) == ("flipped", "the same one, still")
    assert said["pair"]["chosen"]["messages"] == flipped["chosen"]


def the_pair_that_was(verdict: str, run: str, caravan: LivingCaravan) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        pairs = api.get(f"/v1/preferences?run={run}").json()["items"]
        return next((pair for pair in pairs if pair["verdict"] == verdict), None)

    with caravan.api() as api:
        found: dict[str, Any] = soon(look)
    return found


def someone_trains(person: Console) -> str:
    person.open("Datasets")
    person.press("Build from the pairs as they are now")
    person.sees_state("built")
    person.picture("dataset")
    person.follow("Train on it")
    person.sees_title("Training")
    person.type("Steps", "4")
    person.picture("training-start")
    person.button("Start").dblclick()
    person.sees_title("Training of team")
    person.reload()
    person.sees_title("Training of team")
    expect(person.page.get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=3 * WORKING)
    person.sees_state("completed")
    person.picture("training-done")
    opened = person.page.get_by_role("link", name=re.compile("Open team@")).inner_text()
    return opened.split()[-1]


def someone_promotes(person: Console, adapter: str) -> None:
    person.follow(f"Open {adapter}")
    person.sees_title(adapter)
    person.type("Reason", "better than nothing")
    person.press("Promote")
    person.sees_state("in use")
    person.picture("adapter")
    person.press("All adapters")
    person.sees_title("Adapters")
    expect(person.cells().filter(has_text="in use")).to_be_attached()
    person.picture("adapters")


def the_next_run_uses_the_adapter(person: Console, adapter: str) -> None:
    person.open("Runs")
    person.type("Task", "Why is grass green?")
    person.type("Tokens an answer, at most", "12")
    person.press("Start")
    person.sees(f"physicist on {adapter}")
    person.sees(f"{adapter} · ")
    person.sees_state("completed")
    person.picture("run-on-the-adapter")


def someone_edits_the_agents(person: Console, caravan: LivingCaravan) -> None:
    with caravan.api() as api:
        revision = api.get("/v1/agents").json()["revision"]
    person.open("Agents")
    text = person.text_in("agents.yaml")
    wrong = text.replace("platform: embedded\n", "platform: embeded\n", 1)
    person.type("agents.yaml", wrong)
    person.press("Save")
    person.sees("Not saved: 1 mistake.")
    line = 1 + next(number for number, line in enumerate(wrong.splitlines()) if line.endswith("platform: embeded"))
    person.sees(f"line {line}, column 17")
    person.picture("agents-mistake")
    person.reload()
    expect(person.field("agents.yaml")).to_have_value(wrong)
    person.type("agents.yaml", text.replace("role: ", "role: truly ", 1))
    person.type("Reason", "Say it better")
    person.press("Save")
    person.sees_told(f"Saved as revision {revision + 1}.")
    person.show("Revisions")
    expect(person.cells().filter(has_text="Say it better")).to_be_attached()
    person.choose_row(1)
    person.sees(f"What revision {revision + 1} changed")
    person.picture("agents-revisions")
    with caravan.api() as api:
        assert api.get("/v1/agents").json()["reason"] == "Say it better"
    person.choose_row(2)
    person.type("Why restore it", "It was good")
    person.press(f"Restore revision {revision}")
    person.sees_told(f"Restored as revision {revision + 2}.")
    with caravan.api() as api:
        assert api.get("/v1/agents").json()["text"] == text


def test_a_viewer_sees_everything_and_can_change_nothing(caravan: LivingCaravan, page: Page) -> None:
    person = Console(page, caravan.console_url)
    person.sign_in(caravan.new_token("viewer", "viewer"))
    for name, button in (
        ("Runs", "Start"),
        ("Datasets", "Build from the pairs as they are now"),
        ("Agents", "Save"),
    ):
        person.open(name)
        expect(person.button(button)).to_be_disabled()
    expect(person.field("agents.yaml")).to_be_disabled()
    page.get_by_test_id("stTooltipHoverTarget").filter(has=page.get_by_role("button", name="Save")).hover()
    expect(page.get_by_role("tooltip")).to_contain_text("This needs the role admin")
    for name in ("Annotate", "Training", "Adapters", "Log", "Events", "Jobs"):
        person.open(name)
        person.sees_it_drawn()
        expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


def test_long_answers_are_judged_by_one_key_even_if_it_is_pressed_twice(caravan: LivingCaravan, page: Page) -> None:
    person = Console(page, caravan.console_url)
    person.sign_in(caravan.token)
    person.sees_title("Overview")
    with caravan.api() as api:
        id, _ = (propose(api, f"{thing} is long.\n" * 200) for thing in ("This", "That"))
    page.goto(f"{caravan.console_url}/annotate?pair={id}")
    for label in ("Left is better", "Right is better", "Neither"):
        expect(person.button(label)).to_be_in_viewport()
    page.get_by_text("Rate by the rubric").click()
    page.get_by_role("radio").first.click()
    person.sees_it_drawn()
    person.picture("annotate-long")
    page.keyboard.press("1")
    page.keyboard.press("1")
    person.sees("you said: left is better")
    assert person.place("pair") != id
    with caravan.api() as api:
        said = api.get("/v1/events", params={"aggregate": id, "type": "preference.annotated"}).json()["items"]
        assert [len(event["data"]["scores"]["ratings"]) for event in said] == [1]
    person.picture("annotate-undo")
    page.keyboard.press("u")
    expect(page).to_have_url(f"{caravan.console_url}/annotate?pair={id}")
    with caravan.api() as api:
        eventually(lambda: api.get(f"/v1/preferences/{id}/opinions").json()["mine"] is None)


def propose(api: Client, text: str) -> str:
    """A pair of two long answers."""
    prompt, better, worse = (
        [{"role": role, "content": content}]
        for role, content in (("user", "Go on."), ("assistant", text), ("assistant", f"{text}Still."))
    )
    written = api.post("/v1/preferences", json={"prompt": prompt, "chosen": better, "rejected": worse})
    return str(written.json()["id"])


def test_two_people_who_edit_the_agents_at_once_lose_nothing(caravan: LivingCaravan, page: Page) -> None:
    person = Console(page, caravan.console_url)
    person.sign_in(caravan.token)
    person.open("Agents")
    text = person.text_in("agents.yaml")
    with caravan.api() as api:
        revision = api.get("/v1/agents").json()["revision"]
        saved = api.put(
            "/v1/agents",
            content=text.replace("role: ", "role: really ", 1),
            headers={"If-Match": f'"{revision}"', "Content-Type": "application/yaml"},
        )
        assert saved.is_success, saved.text
        api.get("/v1/agents", params={"after": saved.json()["position"]})  # once it is seen, the page tells of it
    mine = f"{text}\n# Mine.\n"
    person.type("agents.yaml", mine)
    person.sees(f"You began from revision {revision}")
    person.sees("role: really ")
    expect(person.field("agents.yaml")).to_have_value(mine)
    person.picture("agents-conflict")
    person.press("Keep mine, to be saved over theirs")
    expect(person.button("Keep mine")).to_have_count(0)
    person.press("Save")
    person.sees_told(f"Saved as revision {revision + 2}.")


def test_the_console_waits_for_a_gateway_that_is_restarted(caravan: LivingCaravan, page: Page) -> None:
    person = Console(page, caravan.console_url)
    person.sign_in(caravan.token)
    person.open("Datasets")
    with caravan.without("gateway"):
        person.open("Log")
        person.sees("No gateway answers")
        person.picture("outage")
    expect(page.get_by_text("No gateway answers")).to_have_count(0, timeout=WORKING)
    expect(page.get_by_test_id("stMain").get_by_text(re.compile("Choose a row|Nothing yet")).first).to_be_visible()


def test_signing_out_ends_the_session_in_every_tab(caravan: LivingCaravan, page: Page) -> None:
    person = Console(page, caravan.console_url)
    person.sign_in(caravan.token)
    person.open("Log")
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_role("heading", level=1, name="Log")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your token")).to_be_visible()
    other.reload()
    expect(other.get_by_label("Your token")).to_be_visible()


def test_a_console_that_was_killed_still_knows_who_is_signed_in_and_what_they_typed(
    caravan: LivingCaravan, page: Page
) -> None:
    person = Console(page, caravan.console_url)
    person.sign_in(caravan.token)
    person.open("Runs")
    person.type("Task", "Why is snow white?")
    (id,) = (one["value"] for one in page.context.cookies() if one["name"].startswith("caravan_console_"))
    with closing(KeyValues(caravan.nats.console_url, SESSIONS)) as values:
        kept = Lockers(values)
        eventually(lambda: b"Why is snow white?" in (kept.get(id) or b""))
    caravan.kill("ui")
    eventually(caravan.is_up, within=WORKING / 1000)
    person.reload()
    person.sees_title("Runs")
    expect(person.field("Task")).to_have_value("Why is snow white?")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Your token")).to_be_visible()
