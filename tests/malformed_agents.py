"""Files that are no agents.yaml, each for a reason of its own; with the place and the advice that the refusal gives."""

from __future__ import annotations

HEAD = "agents:\n  - name: ada\n    role: computes\n    system_message: Compute.\n"
EMBEDDED = "    model: {platform: embedded, name: tiny}\n"
GOOD = HEAD + EMBEDDED


def model(fields: str) -> str:
    """One agent on that model."""
    return f"{HEAD}    model: {{{fields}}}\n"


def elsewhere(url: str, more: str = "") -> str:
    """One agent on a model at that address."""
    return model(f"platform: openai-compatible-model, name: m, url: {url}{more}")


LARGE = elsewhere("http://127.0.0.1:1/v1")
"""One agent on a model that can choose tools."""


def laughs() -> str:
    """A thousand million lols, if aliases were followed."""
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(["l0: &l0 lol", *levels, "agents: *l9", ""])


KEY = "sk-proj-" + "Ab3" * 14

MALFORMED: dict[str, tuple[str | bytes, str, str]] = {
    # no YAML at all
    "an open quote": ('agents: "', "line 1, column 10", "close the quote"),
    "an open bracket": ("agents: [1, 2", "line 1, column 14", "close the bracket"),
    "a bracket too many": (GOOD.replace("tiny}", "tiny}}"), "line 5, column 44", "compare it with the lines around"),
    "a tab for an indent": (
        GOOD.replace("    role", "\trole"),
        "line 3, column 1",
        "indent with spaces, not with tabs",
    ),
    "a colon in plain text": (GOOD.replace("Compute.", "You: a: b"), "line 4, column 24", "in quotes"),
    "a line too far left": (GOOD.replace("    role", " role"), "line 3, column 2", "compare it with the lines around"),
    "an at sign": (GOOD.replace("ada", "@ada"), "line 2, column 11", "compare it with the lines around"),
    "an unknown escape": (GOOD.replace("Compute.", r'"\q"'), "line 4, column 23", "unknown escape character"),
    "a bad block header": (GOOD.replace("Compute.", "|x\n      y"), "line 4, column 22", "but found 'x'"),
    # YAML, but not plain
    "an anchor": (GOOD.replace("tiny", "&t tiny"), "line 5, column 39", "write the value out"),
    "an alias of nothing": (GOOD.replace("tiny", "*t"), "line 5, column 39", "write the value out"),
    "a billion laughs": (laughs(), "line 1, column 5", "write the value out"),
    "a tag of its own": (GOOD.replace("ada", "!ada ada"), "line 2, column 11", "write the value without one"),
    "a python object": (
        GOOD + "    adapter: !!python/object/apply:os.system [id]\n",
        "line 6, column 14",
        "without one",
    ),
    "a harmless tag": (GOOD.replace("ada", "!!str ada"), "line 2, column 11", "write the value without one"),
    "a merge key": (GOOD + "    <<: {ballot: verdict}\n", "line 6, column 5", "write the lines out"),
    "a directive": ("%YAML 1.1\n---\n" + GOOD, "line 2, column 1", "remove those above this line"),
    "two documents": (GOOD + "---\n" + GOOD, "line 6, column 1", "remove this --- line"),
    "too deep": ("agents: " + "[" * 2_000, "line 1, column 24", "an agent needs 3 levels"),
    "a number for a key": (GOOD + "    1: x\n", "line 6, column 5", "must be text, e.g. role"),
    "a list for a key": (GOOD + "    ? [a]\n    : x\n", "line 6, column 7", "must be text, e.g. role"),
    "one key twice": (GOOD + "    role: again\n", "line 6, column 5", "keep one of them"),
    # bytes
    "nothing": (b"", "line 1, column 1", "write `agents:`, and below it"),
    "only comments": (b"# agents come later\n", "line 1, column 1", "write `agents:`, and below it"),
    "a NUL": (GOOD.replace("Comp", "Comp\0").encode(), "line 4, column 25", "a NUL cannot be stored; remove it"),
    "an escape sign": (GOOD.replace("Comp", "\x1b[31m"), "line 4, column 21", "U+001B is not allowed; remove it"),
    "Latin-1": ("agents:\n  - name: ada # müde\n".encode("latin-1"), "line 2, column 18", "byte 0xfc is not UTF-8"),
    "half a character": (GOOD.encode() + "# é".encode()[:-1], "line 6, column 3", "save the file as UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "line 1, column 1", "this is UTF-16; save the file as UTF-8"),
    "a byte order mark and garbage": (b"\xef\xbb\xbf\xfe\xfe", "line 1, column 2", "byte 0xfe is not UTF-8"),
    "a lone surrogate": (b"agents: \xed\xa0\x80", "line 1, column 9", "byte 0xed is not UTF-8"),
    "an archive": (b"PK\x03\x04\x14\x00\x00\x00", "line 1, column 6", "a NUL cannot be stored"),
    "far too many": ("agents: [" + "1," * 20_000 + "]", "line 1, column 20004", "more than 10,000 values"),
    "far too much": ("# " + "x" * 2**18, "", "larger than 256 KiB"),
    # of another form
    "a list at the top": ("- name: ada\n", "line 1, column 1", "write `agents:`, and below it"),
    "another top": ("agent: []\n", "line 1, column 1", "there is no setting 'agent' here"),
    "no agents": ("agents: []\n", "line 1, column 9", "at least 1 item"),
    "65 agents": ("agents:\n" + "\n".join(["  - a"] * 65), "line 2, column 3", "at most 64 items"),
    "an agent that is a word": ("agents: [ada]\n", "line 1, column 10", "write `name: value` lines"),
    "agents by name": ("agents:\n  ada: {}\n", "line 2, column 3", "each item after a dash"),
    "two of one name": (GOOD + GOOD.removeprefix("agents:\n"), "line 6, column 11", "give this one another name"),
    "no name": (GOOD.replace("name: ada", "nick: ada"), "line 2, column 5", "Field required; add it"),
    "a number for a name": (GOOD.replace("ada", "7"), "line 2, column 11", "in quotes where YAML would read a number"),
    "a name for people": (GOOD.replace("ada", "Ada L."), "line 2, column 11", "write up to 48 of a-z, 0-9 and -"),
    "a name that is taken": (GOOD.replace("ada", "revisions"), "line 2, column 11", "give the agent another name"),
    "a date for a role": (GOOD.replace("computes", "2026-01-31"), "line 3, column 11", "put it in quotes"),
    "no day at all": (GOOD.replace("computes", "2026-99-99"), "line 3, column 11", "put it in quotes"),
    "true for a role": (GOOD.replace("computes", "true"), "line 3, column 11", "write text, in quotes"),
    "a list for a prompt": (GOOD.replace("Compute.", "[Compute]"), "line 4, column 21", "write text, in quotes"),
    "a blank prompt": (
        GOOD.replace("Compute.", '"  "'),
        "line 4, column 21",
        "there is nothing in it; write something",
    ),
    "a book for a prompt": (GOOD.replace("Compute.", "x" * 32_769), "line 4, column 21", "at most 32768 characters"),
    "a setting of nobody's": (GOOD + "    colour: red\n", "line 6, column 5", "no setting 'colour' here; remove it"),
    "a made-up ballot": (GOOD + "    ballot: dice\n", "line 6, column 13", "'verdict' or 'likelihood'"),
    "an adapter's revision": (GOOD + "    adapter: team@1\n", "line 6, column 14", "write up to 48 of a-z, 0-9 and -"),
    "a tool of nobody's": (GOOD + "    tools: [shell]\n", "line 6, column 13", "no tool that agents may use"),
    "tools for a model too small": (GOOD + "    tools: [math]\n", "line 6, column 12", "too small to choose tools"),
    "a server that is not listed": (LARGE + "    tools: ['mcp:web']\n", "line 6, column 13", "CARAVAN_MCP_SERVERS"),
    "a tool that its toolkit lacks": (
        LARGE + "    tools: [math/eval]\n",
        "line 6, column 13",
        "math has no tool 'eval'; it has math_add",
    ),
    "half a tool": (LARGE + "    tools: [math/]\n", "line 6, column 13", "write the name of a tool after math/"),
    # numbers
    "too hot": (model("platform: embedded, name: m, temperature: 2.5"), "line 5, column 55", "less than or equal to 2"),
    "not a number": (model("platform: embedded, name: m, temperature: .nan"), "line 5, column 55", "decimal digits"),
    "infinity": (model("platform: embedded, name: m, top_p: .inf"), "line 5, column 49", "plain decimal digits"),
    "more than a float": (
        model("platform: embedded, name: m, top_p: 1e999"),
        "line 5, column 49",
        "less than or equal to 1",
    ),
    "text for a number": (model("platform: embedded, name: m, top_p: '0.9'"), "line 5, column 49", "write a number"),
    "true for a number": (model("platform: embedded, name: m, top_p: true"), "line 5, column 49", "write a number"),
    "octal": (model("platform: embedded, name: m, seed: 017"), "line 5, column 48", "plain decimal digits, e.g. 10"),
    "hexadecimal": (model("platform: embedded, name: m, seed: 0x1f"), "line 5, column 48", "plain decimal digits"),
    "an underscore": (model("platform: embedded, name: m, seed: 1_000"), "line 5, column 48", "plain decimal digits"),
    "base sixty": (model("platform: embedded, name: m, seed: 1:30"), "line 5, column 48", "write a whole number"),
    "a fraction": (model("platform: embedded, name: m, max_tokens: 1.5"), "line 5, column 54", "write a whole number"),
    "none at all": (
        model("platform: embedded, name: m, max_tokens: 0"),
        "line 5, column 54",
        "greater than or equal to 1",
    ),
    "below zero": (model("platform: embedded, name: m, seed: -1"), "line 5, column 48", "greater than or equal to 0"),
    # models and their hosts
    "no such platform": (model("platform: embeded, name: m"), "line 5, column 23", "write one of"),
    "a platform that starts a server": (
        model("platform: ollama, name: m"),
        "line 5, column 23",
        "url: http://127.0.0.1:11",
    ),
    "a platform of this machine": (
        model("platform: lmstudio, name: m"),
        "line 5, column 23",
        "openai-compatible-model",
    ),
    "a model's name with a blank": (
        model("platform: openai, name: 'm --trust-remote-code'"),
        "line 5, column 37",
        "write it as its endpoint lists it",
    ),
    "a model's name in two lines": (
        model(r'platform: openai, name: "m\nn"'),
        "line 5, column 37",
        "control characters",
    ),
    "no model": (HEAD, "line 2, column 5", "Field required; add it"),
    "a model by name alone": (HEAD + "    model: tiny\n", "line 5, column 12", "write `name: value` lines"),
    "no address": (model("platform: openai-compatible-model, name: m"), "line 5, column 12", "url: http://127.0.0.1"),
    "an address for the embedded": (
        model("platform: embedded, name: m, url: 'http://127.0.0.1/v1'"),
        "line 5, column 12",
        "remove url and key_env here",
    ),
    "a password in the address": (elsewhere("'http://a:b@127.0.0.1/v1'"), "line 5, column 62", "no key in it"),
    "a file for an address": (elsewhere("'file:///etc/passwd'"), "line 5, column 62", "write http:// or https://"),
    "a query in the address": (elsewhere("'http://127.0.0.1/v1?key=x'"), "line 5, column 62", "no key in it"),
    "a backslash in the address": (elsewhere(r"'http://evil.example\@127.0.0.1/'"), "line 5, column 62", "http://"),
    "a host that is not listed": (elsewhere("'https://evil.example/v1'"), "line 5, column 62", "CARAVAN_MODEL_HOSTS"),
    "a host that begins like one": (
        elsewhere("http://localhost.evil.example"),
        "line 5, column 62",
        "listed hosts only",
    ),
    "the metadata service": (elsewhere("http://169.254.169.254/latest"), "line 5, column 62", "listed hosts only"),
    "an address in one number": (elsewhere("http://2130706433/v1"), "line 5, column 62", "listed hosts only"),
    "a port that is none": (elsewhere("http://127.0.0.1:99999/v1"), "line 5, column 62", "listed hosts only"),
    "scores from a platform that has none": (
        model("platform: anthropic, name: m") + "    ballot: likelihood\n",
        "line 2, column 5",
        "write `ballot: verdict`",
    ),
    "an adapter on a platform that has none": (
        model("platform: anthropic, name: m") + "    adapter: team\n",
        "line 2, column 5",
        "remove `adapter`",
    ),
    # answers that are given again
    "a cache for no time": (GOOD + "    cache: true\n", "line 6, column 12", "e.g. 12h or 7d"),
    "a cache for too long": (GOOD + "    cache: 31d\n", "line 6, column 12", "at most 30d"),
    "a cache of what chance says": (
        model("platform: embedded, name: m, temperature: 0.5") + "    cache: 7d\n",
        "line 2, column 5",
        "write a `seed` or `temperature: 0`",
    ),
    # keys
    "a key in a field of its own": (model("platform: openai, name: m, api_key: abc"), "line 5, column 40", "key_env"),
    "a key for its name": (model("platform: openai, name: m, key_env: abc"), "line 5, column 49", "ends in _API_KEY"),
    "another's secret": (
        model("platform: openai, name: m, key_env: CARAVAN_MODEL_KEY"),
        "line 5, column 49",
        "_API_KEY",
    ),
    "a key in the prompt": (GOOD.replace("Compute.", f"Use {KEY}."), "line 4, column 25", "this looks like a key"),
    "a key in a comment": (GOOD + f"# was {KEY}\n", "line 6, column 7", "put it into an environment variable"),
}
"""By what is wrong: the file, the place, and a part of what to write instead."""
