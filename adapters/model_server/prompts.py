"""From messages to the token ids that the model reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from adapters.model_server.errors import BadRequest
from adapters.model_server.schemas import Message, Tool

TOOLS_INTRODUCTION = (
    'You can call these functions. To call one, answer with JSON only: {"name": ..., "arguments": {...}}'
)

SEAM = "\ufdd0"
"""Where the text is cut before it is turned into tokens; Unicode keeps this character for uses like that."""


@dataclass(frozen=True)
class AnsweredPrompt:
    """A conversation of which answers are to be scored: the tokens before the first of them, those from there on, and
    of each of the latter whether it is an answer's. Answers end where their text ends, without an end token."""

    prompt: list[int]
    answer: list[int]
    scored: list[bool]


class PromptWriter:
    """Renders the model's own chat template. Thread-safe.

    Special tokens are the template's alone. Whoever writes `<|im_end|>` into a message has written those characters,
    and ends no turn: the text is cut inside each such string, and its pieces are tokenized one by one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        # transformers' own __call__ sets padding and truncation on the shared tokenizer, which threads must not.
        self._encoder = tokenizer.backend_tokenizer
        added = self._encoder.get_added_tokens_decoder().values()
        special = "|".join(re.escape(token.content) for token in added if token.special) or "(?!)"
        self._in_special = re.compile(f"(?=(?:{special}))(.)", re.DOTALL)
        self._template_shows_tools = "tools" in (tokenizer.get_chat_template() or "")

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """The conversation up to where the assistant begins to answer. Raises BadRequest."""
        return self._tokens(self._text(messages, tools))

    def with_answers(self, messages: Sequence[Message], answers: Sequence[int]) -> AnsweredPrompt:
        """The conversation up to the end of the last of these messages of the assistant. Raises BadRequest."""
        pieces: list[tuple[list[int], bool]] = []
        shown = ""
        for index in answers:
            before = self._text(messages[:index]) if index else ""
            if not before.startswith(shown) or not index:
                raise BadRequest("the model's chat template cannot show an answer at that place", "messages")
            pieces.append((self._tokens(before[len(shown) :]), False))
            answer = self._defused(messages[index].text)
            pieces.append((self._tokens(answer), True))
            shown = before + answer
        if not any(tokens for tokens, scored in pieces if scored):
            raise BadRequest("there is nothing to score: send `answer`, or messages of the assistant", "messages")
        (prompt, _), *rest = pieces
        return AnsweredPrompt(
            prompt=prompt,
            answer=[token for tokens, _ in rest for token in tokens],
            scored=[scored for tokens, scored in rest for _ in tokens],
        )

    def _text(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        conversation = [_plain(message) for message in messages]
        definitions: list[Any] = [tool.model_dump() for tool in tools]
        if definitions and not self._template_shows_tools:
            conversation = _introduced(conversation, definitions)
        try:
            text = self._tokenizer.apply_chat_template(
                self._defused_all(conversation),
                tools=self._defused_all(definitions) or None,
                tokenize=False,
                add_generation_prompt=True,
            )
        except TemplateError as error:
            raise BadRequest(f"the model's chat template refuses these messages: {error}", "messages") from error
        return str(text)

    def _defused_all(self, objects: list[Any]) -> list[Any]:
        defused: list[Any] = json.loads(self._defused(json.dumps(objects, ensure_ascii=False)))
        return defused

    def _defused(self, text: str) -> str:
        return self._in_special.sub(rf"\1{SEAM}", text)

    def _tokens(self, text: str) -> list[int]:
        pieces = self._encoder.encode_batch(text.split(SEAM), add_special_tokens=False)
        return [token for piece in pieces for token in piece.ids]


def _plain(message: Message) -> dict[str, str]:
    calls = [
        json.dumps({"name": call.function.name, "arguments": call.function.arguments})
        for call in message.tool_calls or []
    ]
    role = "system" if message.role == "developer" else message.role
    return {"role": role, "content": "\n".join(filter(None, [message.text, *calls]))}


def _introduced(conversation: list[dict[str, str]], definitions: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The conversation with the functions described in its system message."""
    lines = [TOOLS_INTRODUCTION, *(json.dumps(definition["function"]) for definition in definitions)]
    if conversation[0]["role"] == "system":
        first, *rest = conversation
        return [{"role": "system", "content": "\n".join([first["content"], *lines])}, *rest]
    return [{"role": "system", "content": "\n".join(lines)}, *conversation]
