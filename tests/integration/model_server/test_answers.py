"""Answers as OpenAI's own client sees them: alone and in batches, streamed, by schemas and with tools."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import jsonschema
import pytest
import torch
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.integration.model_server.asking import QUESTIONS, answers, ask
from tests.integration.model_servers import BASE_NAME

RECORDED = json.loads(Path("tests/fixtures/requests/langchain-openai-1.7.4.json").read_text())
"""What ChatOpenAI of that release sends for invoke, stream, with_structured_output, bind_tools and a tool's result."""


def test_an_answer_names_its_model_its_weights_and_its_tokens(client):
    base, adapter = ask(client, "Hi"), ask(client, "Hi", model="team@1")

    assert base.model == BASE_NAME
    assert adapter.model == "team@1"
    assert len({base.system_fingerprint, adapter.system_fingerprint}) == 2
    assert base.choices[0].finish_reason == "length"
    assert base.usage.completion_tokens == 12
    assert base.usage.total_tokens == base.usage.prompt_tokens + 12


def test_a_greedy_answer_is_transformers_own(client, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTIONS[1]}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )

    generated = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]

    expected = tokenizer.decode(generated, skip_special_tokens=True)
    assert ask(client, QUESTIONS[1]).choices[0].message.content == expected


def test_a_greedy_answer_is_the_same_alone_and_in_a_batch(client):
    alone = [ask(client, question).choices[0].message.content for question in QUESTIONS]

    assert answers(client, QUESTIONS) == alone


def test_a_seeded_answer_is_the_same_alone_and_in_a_batch(client):
    sampling = {"temperature": 0.9, "top_p": 0.95, "seed": 7}
    alone = ask(client, QUESTIONS[1], **sampling).choices[0].message.content

    assert answers(client, QUESTIONS, **sampling)[1] == alone
    assert ask(client, QUESTIONS[1], **sampling, max_tokens=12).choices[0].message.content == alone
    assert ask(client, QUESTIONS[1], **(sampling | {"seed": 8})).choices[0].message.content != alone


def test_one_batch_mixes_the_base_with_several_adapters(client):
    models = [BASE_NAME, "team@1", "team@2", "team@1", BASE_NAME]
    alone = [ask(client, "Name a fruit.", model=model).choices[0].message.content for model in models]

    with ThreadPoolExecutor(len(models)) as pool:
        replies = list(pool.map(lambda model: ask(client, "Name a fruit.", model=model), models))

    assert [reply.choices[0].message.content for reply in replies] == alone
    assert len(set(alone)) == 3


def test_answers_of_different_lengths_leave_the_batch_one_by_one(client):
    with ThreadPoolExecutor(6) as pool:
        replies = pool.map(lambda tokens: ask(client, "Hi", max_tokens=tokens), (1, 3, 20, 5, 40, 2))

    assert [reply.usage.completion_tokens for reply in replies] == [1, 3, 20, 5, 40, 2]


def test_a_stream_brings_the_same_text_and_then_the_usage(client):
    chunks = list(ask(client, "Name a fruit.", stream=True, stream_options={"include_usage": True}))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == ask(client, "Name a fruit.").choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == 12
    assert len(chunks) > 4


def test_a_stop_string_ends_the_answer_before_it(client):
    whole = ask(client, "Name a fruit.").choices[0].message.content
    stop = whole[len(whole) // 2 :][:3]

    reply = ask(client, "Name a fruit.", stop=[stop]).choices[0]

    assert reply.message.content == whole.partition(stop)[0]
    assert reply.finish_reason == "stop"


def test_an_answer_follows_a_json_schema(client):
    schema = {
        "type": "object",
        "properties": {"fruit": {"enum": ["apple", "plum"]}, "count": {"type": "integer", "maximum": 9, "minimum": 0}},
        "required": ["fruit", "count"],
        "additionalProperties": False,
    }
    response_format = {"type": "json_schema", "json_schema": {"name": "basket", "schema": schema}}

    replies = answers(client, QUESTIONS, response_format=response_format, temperature=1, max_tokens=60)

    for reply in replies:
        jsonschema.validate(json.loads(reply), schema)


def test_a_json_object_begins_as_one_and_is_cut_at_max_tokens(client):
    reply = ask(client, "Hi", response_format={"type": "json_object"}, max_tokens=8).choices[0]

    assert reply.message.content.startswith("{")
    assert reply.finish_reason in {"length", "stop"}


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"enum": ["Paris", "Rome"]}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("weather", "population")
]


def test_a_required_tool_is_called(client):
    choice = ask(client, "Paris?", tools=TOOLS, tool_choice="required", max_tokens=60).choices[0]

    assert choice.finish_reason == "tool_calls"
    call = choice.message.tool_calls[0].function
    assert call.name in {"weather", "population"}
    assert json.loads(call.arguments)["city"] in {"Paris", "Rome"}


def test_a_named_tool_is_called_in_a_stream(client):
    named = {"type": "function", "function": {"name": "population"}}

    chunks = list(ask(client, "Paris?", tools=TOOLS, tool_choice=named, max_tokens=60, stream=True))

    call = chunks[-1].choices[0].delta.tool_calls[0].function
    assert call.name == "population"
    assert json.loads(call.arguments)["city"] in {"Paris", "Rome"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("call", RECORDED)
def test_what_langchain_sends_is_answered_as_it_reads_it(client, call):
    body = RECORDED[call]
    answer = client.post("/chat/completions", cast_to=httpx.Response, body=body).text

    if body["stream"]:
        *events, end = [line.removeprefix("data: ") for line in answer.splitlines() if line]
        chunks = [ChatCompletionChunk.model_validate_json(event) for event in events]
        assert end == "[DONE]"
        assert any(chunk.choices and chunk.choices[0].delta.content for chunk in chunks)
        assert (chunks[-1].usage is not None) == ("stream_options" in body)
        return
    completion = ChatCompletion.model_validate_json(answer)
    assert (completion.model, completion.usage.completion_tokens > 0) == ("team@1", True)
    choice = completion.choices[0]
    if choice.finish_reason == "length":
        return  # a random model seldom ends a sentence
    if wanted := body.get("response_format"):
        jsonschema.validate(json.loads(choice.message.content), wanted["json_schema"]["schema"])
    for tool in body.get("tools", ()):
        arguments = choice.message.tool_calls[0].function.arguments
        jsonschema.validate(json.loads(arguments), tool["function"]["parameters"])
