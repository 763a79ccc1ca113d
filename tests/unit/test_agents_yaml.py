"""agents.yaml: what is understood, and what is refused and with which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.agents_yaml import AgentsYaml
from adapters.tools.allowed import AllowedTools
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


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43_200), ("30d", 2_592_000)])
def test_an_agent_may_say_for_how_long_its_answers_are_given_again(written: str, seconds: float) -> None:
    (poet,) = AgentsYaml().parse(agent(cache=written))
    assert poet.cache_seconds == seconds
    (other,) = AgentsYaml().parse(agent())
    assert other.cache_seconds is None


@pytest.mark.parametrize("wrong", ["0h", "7", "7 d", "d", "-1d", "1w", "[7d]", "1.5h"])
def test_what_is_no_such_time_is_refused(wrong: str) -> None:
    (told,) = refusal(agent(cache=wrong))
    assert "(agents.0.cache)" in told
    assert "e.g. 12h or 7d" in told


def test_the_shipped_roster_is_valid_and_lets_two_judges_rank_every_pair() -> None:
    agents = AgentsYaml().parse(SHIPPED.read_text())
    assert len(agents) >= 4
    assert len({a.system_message for a in agents}) == len({a.model.sampling.seed for a in agents}) == len(agents)
    assert {(a.model.platform, a.adapter, a.ballot) for a in agents} == {("embedded", "team", "likelihood")}


def test_what_is_in_production_may_be_named_as_such() -> None:
    text = SHIPPED.read_text().replace("adapter: team\n", "adapter: team@production\n")
    assert {agent.adapter for agent in AgentsYaml().parse(text)} == {"team@production"}


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
        ({"adapter": "team@2"}, "adapter"),
        ({"model": "{platform: embedded, name: m, key_env: sk-abc}"}, "the name of an environment variable"),
        ({"model": "{platform: embedded, name: m, temperature: .nan}"}, "plain decimal digits"),
        ({"model": "embedded"}, "write `name: value` lines"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, str], advice: str) -> None:
    assert any(advice in line for line in refusal(agent(**changes)))


@pytest.mark.parametrize(
    "variable", ["DATABASE_URL", "CARAVAN_MODEL_KEY", "CARAVAN_X_API_KEY", "_API_KEY", "x_api_key"]
)
def test_a_variable_that_is_no_endpoints_key_cannot_be_sent_to_one(variable: str) -> None:
    model = f"{{platform: openai-compatible-model, name: m, url: 'http://127.0.0.1/v1', key_env: {variable}}}"
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
        ("agents: \x00", "line 1, column 9: a NUL cannot be stored; remove it"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: a second document begins here"),
        ("x: 2020-99-99\n", "line 1, column 4: YAML takes this for a date"),
        ("# " + "x" * 2**18, "larger than 256 KiB"),
        ("", "(the whole file): write `agents:`, and below it an item for each agent"),
        ("agents: []\n", "(agents): List should have at least 1 item"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text: str, complaint: str) -> None:
    assert complaint in "\n".join(refusal(text))


ON_A_LARGE_MODEL = "{platform: openai-compatible-model, name: m, url: 'http://127.0.0.1:1/v1'}"


@pytest.mark.parametrize("tools", [["math"], ["math/math_add", "mcp:files"], ["mcp:files/read"], []])
def test_tools_are_a_toolkit_an_mcp_server_or_one_of_its_tools(tools: list[str]) -> None:
    format = AgentsYaml(tools=AllowedTools(["files"]))
    (spec,) = format.parse(agent(model=ON_A_LARGE_MODEL, tools=json.dumps(tools)))
    assert spec.tools == tuple(tools)


def test_an_unknown_tool_is_refused_with_those_that_may_be_written() -> None:
    (line,) = refusal(agent(model=ON_A_LARGE_MODEL, tools="['mcp:files']"))
    assert "'mcp:files' is no tool that agents may use; write one of math, or one of its tools alone" in line
    assert "an operator may list MCP servers in CARAVAN_MCP_SERVERS" in line
    with pytest.raises(Invalid, match="write one of math, mcp:web, or"):
        AgentsYaml(tools=AllowedTools(["web"])).parse(agent(model=ON_A_LARGE_MODEL, tools="['mcp:files']"))


def test_no_agent_has_tools_that_it_was_not_given() -> None:
    (spec,) = AgentsYaml().parse(agent(model=ON_A_LARGE_MODEL))
    assert spec.tools == ()
