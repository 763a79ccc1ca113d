"""Holds a commit's message to this project's form; git calls it with the path of the message's file."""

import re
import sys
from pathlib import Path

LONGEST_SUMMARY = 72
WRITTEN_BY_GIT = re.compile(r"(Merge|Revert|fixup!|squash!|amend!) ?")
NOT_IMPERATIVE = re.compile(r"\w+(ed|ing|[^su]s)$", re.IGNORECASE)
IMPERATIVE_ALL_THE_SAME = {"alias", "bring", "embed", "feed", "need", "seed", "shed", "speed", "string"}


def complaints(message: str) -> list[str]:
    """What is wrong with the message, in words for its author; empty when nothing is."""
    lines = [line for line in message.splitlines() if not line.startswith("#")]
    summary = lines[0] if lines else ""
    if WRITTEN_BY_GIT.match(summary):
        return []
    if not summary.strip():
        return ["the first line must be a summary; it is empty"]
    first_word = summary.split()[0]
    found = []
    if not first_word[0].isupper():
        found.append("the summary must begin with a capital letter")
    if NOT_IMPERATIVE.fullmatch(first_word) and first_word.lower() not in IMPERATIVE_ALL_THE_SAME:
        found.append(f"the summary must be imperative: not `{first_word}`, but what the commit tells the code to do")
    if len(summary) > LONGEST_SUMMARY:
        found.append(f"the summary has {len(summary)} characters; at most {LONGEST_SUMMARY} are shown everywhere")
    if summary.endswith("."):
        found.append("the summary must not end with a full stop")
    if len(lines) > 1 and lines[1].strip():
        found.append("the second line must be empty; the body begins on the third")
    return found


def main(path: str) -> str | int:
    """The exit status of the hook: 0, or the complaints, which `sys.exit` prints."""
    found = complaints(Path(path).read_text(encoding="utf-8"))
    return "\n".join(f"commit message: {complaint}" for complaint in found) if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
