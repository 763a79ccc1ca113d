"""Where in a YAML text things begin and end: values, lines, the items of a list with their comments. Places are indexes
of characters, as the marks of ruamel's nodes have them."""

from __future__ import annotations

import re

from ruamel.yaml.nodes import CollectionNode, Node, ScalarNode, SequenceNode

BREAK = re.compile(r"\r\n|\r|\n")
_BREAK_AT_END = re.compile(r"(?:\r\n|\r|\n)\Z")
_BLANK_LINES_AT_END = re.compile(r"(?:[ \t]*(?:\r\n|\r|\n))+[ \t]*\Z")
_COLON = re.compile(r"[ \t]*:")
_BEFORE_COMMENT = re.compile(r" *(?=#)")


def is_flow(node: Node) -> bool:
    """Whether it is within brackets of its own."""
    return isinstance(node, CollectionNode) and bool(node.flow_style)


def start_of(node: Node) -> int:
    """Where it begins."""
    return int(node.start_mark.index)


def is_empty(node: Node) -> bool:
    """Whether nothing is written there, which YAML reads as null."""
    return start_of(node) == int(node.end_mark.index)


def end_of(text: str, node: Node) -> int:
    """Where the last thing ends that it says, which is often before the parser's mark. A break that ends its last line
    is not part of it, nor are blank lines that say nothing."""
    if isinstance(node, CollectionNode) and not is_flow(node):
        if isinstance(node, SequenceNode):
            return end_of(text, node.value[-1])
        key, value = node.value[-1]
        return after_colon(text, key) if is_empty(value) else end_of(text, value)
    end = int(node.end_mark.index)
    if not isinstance(node, ScalarNode) or node.style not in ("|", ">"):
        return end
    written = text[start_of(node) : end]
    header = BREAK.split(written, maxsplit=1)[0].partition("#")[0]
    silent = (_BREAK_AT_END if "+" in header else _BLANK_LINES_AT_END).search(written)
    return end - len(silent[0]) if silent else end


def after_colon(text: str, key: Node) -> int:
    """Where the value of that key may begin."""
    end = int(key.end_mark.index)
    found = _COLON.match(text, end)
    return found.end() if found else end


def line_start(text: str, index: int) -> int:
    """Of the line that the character is in, a break being the end of its line."""
    if text[max(index - 1, 0) : index + 1] == "\r\n":
        index -= 1
    return max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1


def line_end(text: str, index: int) -> int:
    """Before the break."""
    found = BREAK.search(text, index)
    return found.start() if found else len(text)


def next_line(text: str, end: int) -> int:
    """Where the line after the one with that end begins."""
    found = BREAK.match(text, end)
    return found.end() if found else len(text)


def item_lines(text: str, items: SequenceNode, item: Node) -> tuple[int, int]:
    """Of an item of a list in lines: from the first of the comments right above it to the end of its last line, or of
    the comments right below it that are indented more deeply than its dash."""
    column = items.start_mark.column
    first = line_start(text, start_of(item))
    while text[first : first + column].strip(" ") or text[first + column] != "-":
        first = line_start(text, first - 1)
    while first and comment_column(text, above := line_start(text, first - 1)) in range(column + 1):
        first = above
    end = line_end(text, end_of(text, item))
    while comment_column(text, below := next_line(text, end)) > column:
        end = line_end(text, below)
    return first, end


def comment_column(text: str, line: int) -> int:
    """Of a line with nothing but a comment; -1 for every other."""
    found = _BEFORE_COMMENT.match(text, line)
    return found.end() - line if found else -1


def is_blank_above(text: str, line: int) -> bool:
    """Whether the line before the one that begins there is blank."""
    return line > 0 and not text[line_start(text, line - 1) : line].strip()


def blank_lines_end(text: str, end: int) -> int:
    """The end of the last one of the blank lines after the line with that end."""
    while (below := next_line(text, end)) < len(text) and not text[below : line_end(text, below)].strip(" \t"):
        end = line_end(text, below)
    return end
