"""agents.yaml: what is understood, what is refused and with which words, and that an edit leaves the rest alone."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.agents_yaml import AgentsYaml, edit
from domain.errors import Invalid
from domain.roster import AgentSpec, ModelSpec, Sampling

SHIPPED = Path(__file__).parents[2] / "configs" / "agents.yaml"

TWO_AGENTS = """\
# Our agents
agents:
- name: "poet"      # the first one
  role: 'rhymes'    # a role
  system_message: "You: rhyme"
  # where it runs
  model: {platform: embedded, name: tiny}  # flow style
  tools: []
- name: critic
  role: criticises
  system_message: >-
    You criticise
    everything.
  # behind a folded text
  model:
    platform: openai-compatible-model
    name: large
    url: http://127.0.0.1:8000/v1
    key_env: CRITIC_API_KEY
    temperature: 1
    seed: 7
  adapter: team
  ballot: verdict
"""


def refusal(text: str) -> list[str]:
    with pytest.raises(Invalid) as refused:
        AgentsYaml().parse(text)
    return str(refused.value).splitlines()


def agent(**changes: str) -> str:
    """One agent as YAML, some of its lines changed."""
    lines = {
        "name": "poet",
        "role": "rhymes",
        "system_message": "Rhyme.",
        "model": "{platform: embedded, name: tiny}",
    } | changes
    return "agents:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in lines.items()) + "\n"


def test_every_field_is_understood() -> None:
    poet, critic = AgentsYaml().parse(TWO_AGENTS)
    assert poet == AgentSpec("poet", "rhymes", "You: rhyme", ModelSpec("embedded", "tiny"))
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=256, seed=7)
    model = ModelSpec("openai-compatible-model", "large", "http://127.0.0.1:8000/v1", "CRITIC_API_KEY", sampling)
    assert critic == AgentSpec("critic", "criticises", "You criticise everything.", model, "team", "verdict")


def test_the_shipped_roster_is_valid_and_lets_two_judges_rank_every_pair() -> None:
    agents = AgentsYaml().parse(SHIPPED.read_text())
    assert len(agents) >= 4
    assert len({a.system_message for a in agents}) == len({a.model.sampling.seed for a in agents}) == len(agents)
    assert {(a.model.platform, a.adapter, a.ballot) for a in agents} == {("embedded", "team", "likelihood")}


def test_the_commented_example_of_the_shipped_roster_is_valid_once_uncommented() -> None:
    text = SHIPPED.read_text()
    head, marker, example = text.partition("  # - name: reviewer")
    uncommented = "\n".join(line.replace("  # ", "  ", 1) for line in (marker + example).splitlines())
    *_, reviewer = AgentsYaml().parse(head + uncommented)
    assert (reviewer.name, reviewer.ballot, reviewer.model.key_env) == ("reviewer", "verdict", "REVIEWER_API_KEY")


def test_every_mistake_is_listed_with_line_column_path_and_what_to_write() -> None:
    lines = refusal(
        "agents:\n"
        "  - name: Two Words\n"
        "    role: 5\n"
        "    colour: red\n"
        "    model: {platform: embeded, name: m, temperature: 7}\n"
        "    tools: [shell]\n"
    )
    assert lines[0] == "line 2, column 11 (agents.0.name): write up to 48 of a-z, 0-9 and -, e.g. physicist"
    assert lines[1].startswith(
        "line 3, column 11 (agents.0.role): Input should be a valid string; write text, in quotes"
    )
    assert lines[2] == "line 2, column 5 (agents.0.system_message): Field required; add it"
    assert lines[3].startswith("line 5, column 23 (agents.0.model.platform): there is no platform 'embeded'; write one")
    assert lines[4].startswith("line 5, column 54 (agents.0.model.temperature): Input should be less than or equal")
    assert lines[5].startswith("line 6, column 13 (agents.0.tools.0): 'shell' is no tool that agents may use")
    assert lines[6].startswith("line 4, column 5 (agents.0.colour): there is no setting 'colour' here; remove it")
    assert len(lines) == 7


@pytest.mark.parametrize("field", ["api_key", "apikey", "token", "password", "client_secret"])
def test_a_key_in_the_file_is_refused_with_the_way_to_do_it(field: str) -> None:
    [line] = refusal(agent(**{field: "sk-123"}))
    assert "write that variable's name: `key_env: MY_API_KEY`" in line
    assert "sk-123" not in line


def test_a_placeholder_is_no_url_since_nothing_is_expanded() -> None:
    [line] = refusal(agent(model='{platform: openai-compatible-model, name: m, url: "${MODEL_URL}"}'))
    assert "(agents.0.model.url): write http:// or https://" in line


@pytest.mark.parametrize(
    "url", ["ftp://host/v1", "host:8000", "https://user:secret@host/v1", "http://", "javascript:x"]
)
def test_a_url_is_http_and_holds_no_password(url: str) -> None:
    [line] = refusal(agent(model=f'{{platform: openai-compatible-model, name: m, url: "{url}"}}'))
    assert "write http:// or https://" in line


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"model": "{platform: embedded, name: m, url: 'http://x/v1'}"}, "come from the settings; remove url"),
        ({"model": "{platform: openai-compatible-model, name: m}"}, "say where the model is served: url:"),
        ({"model": "{platform: openai, name: m, url: 'https://x/v1'}"}, "remove url, or write platform: openai-comp"),
        ({"model": "{platform: anthropic, name: m}", "ballot": "likelihood"}, "write `ballot: verdict`"),
        ({"model": "{platform: anthropic, name: m}", "adapter": "team"}, "remove `adapter`"),
        ({"model": "{platform: embedded, name: m, key_env: sk-abc}"}, "the name of an environment variable"),
        ({"model": "{platform: embedded, name: m, temperature: .nan}"}, "temperature"),
        ({"model": "embedded"}, "write `name: value` lines"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, str], advice: str) -> None:
    assert any(advice in line for line in refusal(agent(**changes)))


@pytest.mark.parametrize(
    "variable", ["DATABASE_URL", "CARAVAN_MODEL_KEY", "CARAVAN_X_API_KEY", "_API_KEY", "x_api_key"]
)
def test_a_variable_that_is_no_endpoints_key_cannot_be_sent_to_one(variable: str) -> None:
    model = f"{{platform: openai-compatible-model, name: m, url: 'https://evil/v1', key_env: {variable}}}"
    [line] = refusal(agent(model=model))
    assert "(agents.0.model.key_env): write the name of an environment variable that ends in _API_KEY" in line


def test_two_agents_of_one_name_are_refused_where_the_second_one_stands() -> None:
    text = TWO_AGENTS.replace("name: critic", "name: poet")
    assert refusal(text) == [
        "line 9, column 9 (agents.1.name): there are two agents 'poet'; give this one another name"
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: &x 1\nb: *x\n", "line 1, column 4: anchors and aliases"),
        (
            "agents: !!python/object:os.system {}\n",
            "line 1, column 9: tags (tag:yaml.org,2002:python/object:os.system)",
        ),
        ("agents: []\nagents: []\n", "line 2, column 1: this is no YAML: found duplicate key"),
        ("[" * 1000, "line 1, column 17: nested more than 16 deep"),
        ("agents:\n\t- x\n", "line 2, column 1: this is no YAML"),
        ("agents: \x00", "special characters are not allowed"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: this is no YAML"),
        ("x: 2020-99-99\n", "this is no YAML"),
        ("# " + "x" * 2**18, "larger than 256 KiB"),
        ("", "(the whole file): Input should be a valid dictionary"),
        ("agents: []\n", "(agents): List should have at least 1 item"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text: str, complaint: str) -> None:
    assert complaint in "\n".join(refusal(text))


@pytest.mark.parametrize("name", ["poet", "critic"])
@pytest.mark.parametrize("message", ["Short.", "Two\nlines.\n", "a: b # c", "- 'x' \"y\"", "caf\u00e9 \U0001f600"])
def test_an_edit_changes_one_value_and_leaves_every_other_line(name: str, message: str) -> None:
    edited = edit(TWO_AGENTS, name, "system_message", message)
    before, after = AgentsYaml().parse(TWO_AGENTS), AgentsYaml().parse(edited)
    assert [a.system_message for a in after if a.name == name] == [message]
    assert [a for a in after if a.name != name] == [a for a in before if a.name != name]
    removed = [line for line in difflib.ndiff(TWO_AGENTS.splitlines(), edited.splitlines()) if line.startswith("- ")]
    assert len(removed) <= 3
    for comment in (
        "# Our agents",
        "# the first one",
        "# a role",
        "# where it runs",
        "# flow style",
        "# behind a folded",
    ):
        assert comment in edited


def test_an_edit_keeps_the_quotes_of_the_old_value() -> None:
    assert 'system_message: "Sing"' in edit(TWO_AGENTS, "poet", "system_message", "Sing")


def test_an_adapter_can_be_set_changed_and_taken_away() -> None:
    given_one = edit(TWO_AGENTS, "poet", "adapter", "team")
    assert [a.adapter for a in AgentsYaml().parse(given_one)] == ["team", "team"]
    changed = edit(given_one, "critic", "adapter", "other")
    assert [a.adapter for a in AgentsYaml().parse(changed)] == ["team", "other"]
    assert [a.adapter for a in AgentsYaml().parse(edit(changed, "poet", "adapter", None))] == [None, "other"]


def test_an_edit_of_nobody_or_to_nonsense_is_refused() -> None:
    with pytest.raises(Invalid, match="there is no agent 'singer'; there is poet, critic"):
        edit(TWO_AGENTS, "singer", "adapter", "team")
    with pytest.raises(Invalid, match=r"agents\.0\.adapter"):
        edit(TWO_AGENTS, "poet", "adapter", "Not A Word")


PRINTABLE = st.characters(blacklist_categories=("Cs", "Cc", "Cn", "Co"), whitelist_characters="\n\r\t")


@example(message="0 ")  # a folded text took the comment behind it for its own
@given(message=st.text(PRINTABLE, min_size=1, max_size=60).filter(str.strip))
@settings(max_examples=40, deadline=None)
def test_any_text_that_is_set_reads_back_as_it_was_written(message: str) -> None:
    edited = edit(TWO_AGENTS, "critic", "system_message", message)
    assert AgentsYaml().parse(edited)[1].system_message == message
