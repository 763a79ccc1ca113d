"""What clients send. Settings that would change the answer and are not supported are refused, others ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

MAX_SEED = 2**63 - 1

Text = Annotated[str, Field(max_length=1_000_000)]


class TextPart(BaseModel):
    """A piece of a message."""

    type: Literal["text"]
    text: Text


class CalledFunction(BaseModel):
    """The function of a tool call; `arguments` are JSON."""

    name: str
    arguments: Text


class ToolCall(BaseModel):
    """A call that an assistant asked for in an earlier message."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(BaseModel):
    """One message of the conversation so far."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def text(self) -> str:
        """The content as one text, empty where there is none."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


Messages = Annotated[list[Message], Field(min_length=1, max_length=1_000)]


class FunctionDefinition(BaseModel):
    """A function that may be called; `parameters` is a JSON schema, none where it takes nothing."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: Text = ""
    parameters: dict[str, Any] | None = None


class Tool(BaseModel):
    """A tool, which can only be a function."""

    type: Literal["function"]
    function: FunctionDefinition


class FunctionName(BaseModel):
    """Which function must be called."""

    name: str


class NamedToolChoice(BaseModel):
    """That this function must be called."""

    type: Literal["function"]
    function: FunctionName


class JsonSchemaFormat(BaseModel):
    """A schema that the answer must match, under OpenAI's key `schema`."""

    name: str = "answer"
    json_schema: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """What the answer must look like."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StreamOptions(BaseModel):
    """Whether a last chunk tells the usage."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """POST /v1/chat/completions."""

    model: str
    messages: Messages
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-MAX_SEED, le=MAX_SEED)
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | None = None
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    presence_penalty: float | None = Field(None, ge=0, le=0)
    frequency_penalty: float | None = Field(None, ge=0, le=0)
    logit_bias: dict[str, float] | None = Field(None, max_length=0)

    @field_validator("stop")
    @classmethod
    def _a_list_of_up_to_four(cls, stop: str | list[str] | None) -> list[str]:
        stops = [stop] if isinstance(stop, str) else stop or []
        if len(stops) > 4 or not all(0 < len(text) <= 200 for text in stops):
            raise ValueError("give up to 4 stop strings of 1 to 200 characters")
        return stops


class ScoreRequest(BaseModel):
    """POST /v1/score: how likely is it that the model answers these messages with `answer`?

    Without an `answer`, the assistant's messages are scored, each given those before it; but none of the first `given`
    ones, which are a prompt.
    """

    model: str
    messages: Messages
    answer: Text | None = Field(None, min_length=1)
    given: int = Field(0, ge=0)


class Usage(BaseModel):
    """Tokens read; for a score, `completion_tokens` are those that were scored."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ScoreResponse(BaseModel):
    """`mean_logprob` is the mean natural log-probability of the `tokens` tokens that were scored, no end tokens."""

    object: Literal["score"] = "score"
    model: str
    system_fingerprint: str
    mean_logprob: float
    tokens: int
    usage: Usage
