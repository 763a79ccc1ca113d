"""Edits of single agents: the bytes of what changes are changed, and no other, however the file is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from adapters.agents_edits import EditableAgentsYaml
from domain.errors import Invalid, NotFound

YAML = EditableAgentsYaml()

TEAM = """\
# Our agents
agents:

- name: "poet"      # the first one
  role: 'rhymes'    # a role
  system_message: "You: rhyme"
  # where it runs
  model: {platform: embedded, name: tiny}  # flow style
  tools: []
  # inside of the poet

# a remark on nobody

# about the critic
- name: critic
  role: criticises
  system_message: >-  # folded
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
- {name: guest, role: visits, system_message: 'It''s me.', model: {platform: embedded, name: tiny}}
"""


def as_crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def patched(text: str, name: str, /, **changes: object) -> str:
    return YAML.patch_agent(text, name, changes)


@pytest.mark.parametrize("form", [str, as_crlf, str.rstrip, lambda text: "\ufeff" + as_crlf(text)])
@pytest.mark.parametrize(
    ("name", "changes", "old", "new"),
    [
        ("poet", {"system_message": "Sing"}, '"You: rhyme"', '"Sing"'),
        ("poet", {"system_message": 'Say "x"'}, '"You: rhyme"', '"Say \\"x\\""'),
        ("poet", {"role": "it's rhymes"}, "'rhymes'    # a role", "'it''s rhymes'    # a role"),
        ("poet", {"system_message": "Two\nlines.\n"}, '"You: rhyme"', "|\n    Two\n    lines."),
        ("poet", {"model": {"seed": 3}}, "name: tiny}  # flow", "name: tiny, seed: 3}  # flow"),
        ("poet", {"model": {"name": "a,b"}}, "name: tiny}  # flow", 'name: "a,b"}  # flow'),
        ("poet", {"adapter": "team"}, "  tools: []\n", "  tools: []\n  adapter: team\n"),
        ("critic", {"adapter": None}, "  adapter: team\n", ""),
        ("critic", {"system_message": "You criticise\nnobody."}, ">-  # folded\n    You criticise\n    everything.",
         ">-  # folded\n    You criticise\n\n    nobody."),
        ("critic", {"system_message": "You criticise everyone."}, "    everything.\n", "    everyone.\n"),
        ("critic", {"model": {"temperature": 0.5}}, "temperature: 1\n", "temperature: 0.5\n"),
        ("critic", {"model": {"temperature": None}}, "    temperature: 1\n", ""),
        ("critic", {"model": {"top_p": 0.9}}, "    seed: 7\n", "    seed: 7\n    top_p: 0.9\n"),
        ("critic", {"adapter": None, "ballot": "likelihood"}, "  adapter: team\n  ballot: verdict\n",
         "  ballot: likelihood\n"),
        ("guest", {"system_message": "It's you.\n"}, "'It''s me.'", '"It\'s you.\\n"'),
        ("guest", {"model": {"max_tokens": 5}}, "name: tiny}}", "name: tiny, max_tokens: 5}}"),
        ("guest", {"ballot": "likelihood"}, "name: tiny}}", "name: tiny}, ballot: likelihood}"),
    ],
)  # fmt: skip
def test_a_change_of_a_field_changes_its_bytes_alone(
    form: Any, name: str, changes: dict[str, object], old: str, new: str
) -> None:
    assert TEAM.count(old) == 1
    assert patched(form(TEAM), name, **changes) == form(TEAM.replace(old, new))


def test_nothing_changes_where_the_agent_is_so_already() -> None:
    fields = {"role": "criticises", "system_message": "You criticise everything.", "ballot": "verdict"}
    model = {"platform": "openai-compatible-model", "name": "large", "url": "http://127.0.0.1:8000/v1"}
    model |= {"key_env": "CRITIC_API_KEY", "temperature": 1.0, "top_p": 1.0, "max_tokens": 256, "seed": 7}
    assert YAML.put_agent(TEAM, "critic", fields | {"adapter": "team", "model": model, "tools": []}) == TEAM
    assert patched(TEAM, "guest") == TEAM


def test_what_is_put_without_a_setting_has_its_default() -> None:
    fields = {"role": "rhymes", "system_message": "You: rhyme", "model": {"platform": "embedded", "name": "tiny"}}
    assert YAML.put_agent(TEAM, "poet", fields) == TEAM
    edited = YAML.put_agent(TEAM, "critic", fields)
    assert [agent.ballot for agent in YAML.parse(edited)] == ["verdict"] * 3
    assert YAML.parse(edited)[1].model.url is None


def test_a_new_agent_stands_last_and_is_written_as_the_others_are() -> None:
    new = {"role": "r", "system_message": "a\nb\n", "model": {"platform": "embedded", "name": "t"}}
    block = as_crlf(TEAM[: TEAM.index("- {name: guest")])
    written = as_crlf(
        "- name: dora\n  role: r\n  system_message: |\n    a\n    b\n  model:\n    platform: embedded\n    name: t\n"
    )
    assert YAML.put_agent(block, "dora", new) == block + as_crlf("\n") + written
    flow = "agents: [{name: a, role: r, system_message: m, model: {platform: embedded, name: t}}] # end"
    assert YAML.put_agent(flow, "dora", new).endswith(
        ', {name: dora, role: r, system_message: "a\\nb\\n", model: {platform: embedded, name: t}}] # end'
    )


@pytest.mark.parametrize("form", [str, as_crlf])
@pytest.mark.parametrize(
    ("header", "once_it_is_followed"),
    [
        ("|", "|-"),
        ("|-", "|-"),
        ("|+", "|-"),
        ("|4", "|4-"),
        ("|+4", "|4-"),
        ("| # a remark", "|- # a remark"),
        (">", ">-"),
        (">+", ">-"),
        ("", ""),
    ],
)
def test_an_agent_comes_and_goes_at_the_end_of_a_file_without_a_final_break(
    form: Any, header: str, once_it_is_followed: str
) -> None:
    """Else a prompt in lines, which ends where the file does, would get a break that it did not have, or lose one."""

    def item(name: str, header: str) -> str:
        model = "{platform: embedded, name: t}"
        return f"- name: {name}\n  role: r\n  model: {model}\n  system_message: {header}\n      # You\n\n      are."

    text = form(f"agents:\n{item('anna', header)}\n{item('bert', header)}")
    anna, bert = YAML.parse(text)
    shorter = YAML.remove_agent(text, "bert")
    assert YAML.parse(shorter) == (anna,)
    assert text.startswith(shorter)
    dora = {"role": "r", "system_message": "Hi", "model": {"platform": "embedded", "name": "t"}}
    longer = YAML.put_agent(text, "dora", dora)
    assert YAML.parse(longer)[:2] == (anna, bert)
    assert longer.startswith(form(f"agents:\n{item('anna', header)}\n{item('bert', once_it_is_followed)}\n"))


def test_with_an_agent_go_the_comments_that_are_its_own_and_no_other() -> None:
    def without(name: str) -> str:
        return YAML.remove_agent(TEAM, name)

    start, remark = TEAM.index('- name: "poet"'), TEAM.index("# a remark")
    about, guest = TEAM.index("# about the critic"), TEAM.index("- {name: guest")
    assert without("poet") == TEAM[:start] + TEAM[remark:]
    assert without("critic") == TEAM[:about] + TEAM[guest:]
    assert without("guest") == TEAM[:guest]


def test_the_last_agent_and_nobody_cannot_be_taken_out() -> None:
    one = YAML.remove_agent(YAML.remove_agent(TEAM, "poet"), "critic")
    with pytest.raises(Invalid, match="guest is the last agent"):
        YAML.remove_agent(one, "guest")
    with pytest.raises(NotFound):
        YAML.remove_agent(TEAM, "nobody")
    with pytest.raises(NotFound):
        patched(TEAM, "nobody", role="x")


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"adapter": "Not A Word"}, "adapter: write up to 48 of a-z"),
        ({"model": {"temperature": 9}}, r"model\.temperature: Input should be less than or equal to 2"),
        ({"role": None}, "role: Field required; add it"),
        ({"api_key": "x"}, "api_key: keys and passwords never stand in this file"),
        ({"name": "other"}, "an agent's name stays"),
    ],
)
def test_an_edit_to_nonsense_is_refused_by_its_path(changes: dict[str, object], advice: str) -> None:
    with pytest.raises(Invalid, match=advice):
        patched(TEAM, "poet", **changes)


def test_where_a_part_cannot_be_changed_alone_the_agent_is_written_anew_and_the_others_stay() -> None:
    odd = TEAM.replace('  system_message: "You: rhyme"', '  ? system_message\n  : "You: rhyme"')
    edited = patched(odd, "poet", adapter="team", tools=None)
    assert YAML.parse(edited)[0].adapter == "team"
    assert edited.endswith(TEAM[TEAM.index("# a remark") :])


# Whatever the file looks like, and whatever is edited.

PRINTABLE = st.characters(blacklist_categories=("Cs", "Cc", "Cn", "Co"), whitelist_characters="\n\r\t")
TEXTS = st.one_of(
    st.text(PRINTABLE, min_size=1, max_size=40).filter(str.strip),
    st.sampled_from(["a: b", "x # y", "- x", "yes", "null", "12", "0x1f", "'", '"']),
    st.sampled_from(["a\n\n b\n", "x\n\n", "# no", "a\\", "é\u0085b", "one two\nthree"]),
)
NAMES = st.sampled_from(["org/m:8b", "a,b", "#m", "yes", "null", "12", "0x1f", "'", '"', "a\\"])
COMMENTS = st.sampled_from(["", "  # c", "  # 'odd\" [{"])
BETWEEN = st.sampled_from(["", "\n", "# of the next\n", "\n# alone\n\n", "      # deep\n", "\n\n"])


@dataclass
class File:
    """A file in pieces: what comes before the agents, each agent, and what comes after each one."""

    head: str
    agents: list[str]
    between: list[str]
    messages: list[str]
    newline: str

    def text(self) -> str:
        return self.form(self.head + "".join(a + b for a, b in zip(self.agents, self.between, strict=True)))

    def form(self, text: str) -> str:
        return text.replace("\n", self.newline)


@st.composite
def files(draw: st.DrawFn) -> File:
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    dash, pad = draw(st.sampled_from([0, 1, 2, 4])), draw(st.sampled_from([1, 2, 3]))
    count = draw(st.integers(1, 3))
    agents, between, messages = [], [], []
    for number in range(count):
        written, message = draw(agent(f"agent-{number}", " " * dash + "-" + " " * pad, " " * (dash + 1 + pad)))
        agents.append(written)
        messages.append(message)
        between.append(draw(BETWEEN))
    head = draw(st.sampled_from(["", "\ufeff", "# h\n\n", "---\n"])) + "agents:" + draw(COMMENTS) + "\n"
    return File(head + draw(st.sampled_from(["", "\n"])), agents, between, messages, newline)


@st.composite
def agent(draw: st.DrawFn, name: str, dash: str, margin: str) -> tuple[str, str]:
    message, scalar = draw(messages(margin))
    if draw(st.integers(0, 4)) == 0:
        model = "{platform: embedded, name: t}"
        flow = f"{{name: {name}, role: 'r' , system_message: {json.dumps(message)}, model: {model}}}"
        return f"{dash}{flow}{draw(COMMENTS)}\n", message
    model = draw(
        st.sampled_from(
            ["model: {platform: embedded,  name: 't'}", f"model:\n{margin}    platform: embedded\n{margin}    name: t"]
        )
    )
    fields = [f"name: {name}{draw(COMMENTS)}", f'"role" :  r{draw(COMMENTS)}', f"system_message: {scalar}", model]
    more = draw(st.sampled_from([[], ["adapter: team"], ["ballot: 'verdict' # v", "tools: []"], ["adapter:"]]))
    lines = draw(st.permutations(fields + more))
    gap = draw(st.sampled_from(["", "", f"{margin}# inside\n"]))
    return dash + f"\n{gap}{margin}".join(lines) + "\n", message


@st.composite
def messages(draw: st.DrawFn, margin: str) -> tuple[str, str]:
    """A text, and a way to write it at that margin."""
    words = draw(st.lists(st.sampled_from(["You", "are", "it", "- x", "a#b"]), min_size=1, max_size=4))
    match draw(st.sampled_from(["plain", "single", "double", "literal", "keep", "folded"])):
        case "plain":
            return " ".join(["You", *words[1:]]), " ".join(["You", *words[1:]])
        case "single":
            return " ".join(words), f"'{' '.join(words)}'  # q"
        case "double":
            return " ".join(words) + "\n", f'"{" ".join(words)}\\n"'
        case "literal":
            return "\n".join(words) + "\n", "|  # l\n" + "\n".join(f"{margin}   {word}" for word in words)
        case "keep":
            return "\n".join(words) + "\n\n", "|+\n" + "\n".join(f"{margin} {word}" for word in words) + "\n"
        case _:
            return "You " + " ".join(words[1:] or ["x"]), f">-\n{margin}  You\n{margin}  {' '.join(words[1:] or ['x'])}"


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "role": TEXTS,
        "system_message": TEXTS,
        "adapter": st.sampled_from([None, "team", "other"]),
        "ballot": st.sampled_from([None, "likelihood", "verdict"]),
        "model": st.fixed_dictionaries(
            {},
            optional={
                "name": NAMES,
                "temperature": st.sampled_from([None, 0, 0.25, 1e-05]),
                "seed": st.integers(0, 9),
                "max_tokens": st.just(7),
            },
        ),
    },
)


def meant(spec: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    model = {"name": spec.model.name, "temperature": spec.model.sampling.temperature} | {
        "seed": spec.model.sampling.seed,
        "max_tokens": spec.model.sampling.max_tokens,
    }
    model |= {"temperature": 0} if changes.get("model", {}).get("temperature", 1) is None else {}
    now = {"role": spec.role, "system_message": spec.system_message, "adapter": spec.adapter, "ballot": spec.ballot}
    said = {field: value for field, value in changes.items() if field != "model"}
    said |= {"ballot": "verdict"} if said.get("ballot", 1) is None else {}
    given = {field: value for field, value in changes.get("model", {}).items() if value is not None}
    return now | said | {"model": model | given}


@settings(max_examples=60, deadline=None)
@given(file=files(), changes=FIELDS, data=st.data())
def test_any_change_of_an_agent_of_any_file_is_as_meant_and_within_its_lines(
    file: File, changes: dict[str, Any], data: st.DataObject
) -> None:
    text = file.text()
    before = YAML.parse(text)
    # What looks like a comment below a text in lines may be a line of it.
    assume([spec.system_message.rstrip("\n") for spec in before] == [one.rstrip("\n") for one in file.messages])
    index = data.draw(st.integers(0, len(before) - 1))
    edited = YAML.patch_agent(text, before[index].name, changes)
    after = YAML.parse(edited)
    assert [*after[:index], *after[index + 1 :]] == [*before[:index], *before[index + 1 :]]
    assert meant(after[index], {}) == meant(before[index], changes)
    pieces = [a + b for a, b in zip(file.agents, file.between, strict=True)]
    prefix = file.form(file.head + "".join(pieces[:index]))
    suffix = file.form(file.between[index] + "".join(pieces[index + 1 :]))
    assert edited.startswith(prefix)
    assert edited.endswith(suffix.lstrip("\r\n"))  # blank lines may be the end of a text


@settings(max_examples=40, deadline=None)
@given(file=files(), message=TEXTS)
def test_a_new_agent_is_added_in_one_place_of_any_file(file: File, message: str) -> None:
    fields = {"role": "r", "system_message": message, "model": {"platform": "embedded", "name": "t"}}
    for text in (file.text(), file.text().rstrip()):
        edited = YAML.put_agent(text, "new", fields)
        *others, new = YAML.parse(edited)
        assert tuple(others) == YAML.parse(text)
        assert (new.name, new.system_message) == ("new", message)
    assert_spliced(file.text(), YAML.put_agent(file.text(), "new", fields))


@settings(max_examples=40, deadline=None)
@given(file=files(), data=st.data())
def test_an_agent_is_taken_out_of_one_place_of_any_file(file: File, data: st.DataObject) -> None:
    assume(len(file.agents) > 1)
    text = file.text() if data.draw(st.booleans()) else file.text().rstrip()
    index = data.draw(st.integers(0, len(file.agents) - 1))
    edited = YAML.remove_agent(text, f"agent-{index}")
    before = YAML.parse(text)
    assert YAML.parse(edited) == (*before[:index], *before[index + 1 :])
    assert_spliced(edited, text)
    for number, piece in enumerate(file.agents):
        assert (file.form(piece).rstrip() in edited) is (number != index)


def assert_spliced(shorter: str, longer: str) -> None:
    """The longer text is the shorter one with a single piece put in."""
    head = next((n for n, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    rest = len(shorter) - head
    assert longer[len(longer) - rest :] == shorter[head:]


@example(message=":")  # plain within brackets alone
@example(message="0 ")  # a folded text took the comment behind it for its own
@given(message=st.text(PRINTABLE, min_size=1, max_size=60).filter(str.strip))
@settings(max_examples=40, deadline=None)
def test_any_text_that_is_set_reads_back_as_it_was_written(message: str) -> None:
    edited = patched(TEAM, "critic", system_message=message, role=message)
    assert (YAML.parse(edited)[1].system_message, YAML.parse(edited)[1].role) == (message, message)
