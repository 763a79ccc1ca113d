"""The model server as OpenAI's own client sees it."""

import json
import math
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import jsonschema
import openai
import pytest
import torch
from openai import OpenAI
from transformers import AutoModelForCausalLM, AutoTokenizer

from adapters.model_server.server import build
from tests.integration.model_servers import API_KEY, BASE_NAME, save_adapter, serving, wait_until_live

QUESTIONS = [
    "Hi",
    "What is the capital of France, and what would you eat there on a rainy day?",
    "Name a fruit.",
    "Tell me a story about a robot that learns to cook. " * 6,
    "2+2?",
]


@pytest.fixture(scope="module")
def server(tiny_model, tmp_path_factory):
    adapters = tmp_path_factory.mktemp("adapters")
    for revision in (1, 2):
        save_adapter(tiny_model, adapters / f"team@{revision}", seed=revision)
    app = build(tiny_model, BASE_NAME, adapters, API_KEY)
    with serving(app, adapters) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    return OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0)


def ask(client, question, model=BASE_NAME, **settings):
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(
        model=model, messages=messages, **{"temperature": 0, "max_tokens": 12, **settings}
    )


def answers(client, questions, **settings):
    with ThreadPoolExecutor(len(questions)) as pool:
        replies = pool.map(lambda question: ask(client, question, **settings), questions)
        return [reply.choices[0].message.content for reply in replies]


def score(client, answer, question="Name a fruit.", model=BASE_NAME):
    body = {"model": model, "messages": [{"role": "user", "content": question}], "answer": answer}
    return client.post("/score", cast_to=dict, body=body)


def test_base_and_adapters_are_listed(client):
    assert [model.id for model in client.models.list()] == [BASE_NAME, "team@1", "team@2"]
    assert client.models.retrieve("team@1").id == "team@1"


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


def test_a_score_is_the_mean_log_probability_of_the_answers_tokens(client, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    question = [{"role": "user", "content": "Name a fruit."}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=True)["input_ids"]
    answer = tokenizer.encode("An apple is a fruit.", add_special_tokens=False)
    with torch.inference_mode():
        logprobs = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    each = [float(logprobs[len(prompt) + at - 1, token]) for at, token in enumerate(answer)]

    scored = score(client, "An apple is a fruit.")

    assert scored["mean_logprob"] == pytest.approx(math.fsum(each) / len(each), abs=1e-5)
    assert scored["tokens"] == len(answer)
    assert scored["usage"]["prompt_tokens"] == len(prompt)


def test_without_an_answer_every_message_of_the_assistant_is_scored_given_those_before(client, tiny_model):
    conversation = [
        {"role": "user", "content": "Name a fruit."},
        {"role": "assistant", "content": "An apple."},
        {"role": "user", "content": "And another one?"},
        {"role": "assistant", "content": "A pear, of course."},
    ]
    one_by_one = [
        client.post(
            "/score",
            cast_to=dict,
            body={"model": "team@1", "messages": conversation[:at], "answer": conversation[at]["content"]},
        )
        for at in (1, 3)
    ]

    scored = client.post("/score", cast_to=dict, body={"model": "team@1", "messages": conversation})

    tokens = sum(part["tokens"] for part in one_by_one)
    mean = sum(part["mean_logprob"] * part["tokens"] for part in one_by_one) / tokens
    assert scored["mean_logprob"] == pytest.approx(mean, abs=1e-5)
    assert scored["tokens"] == scored["usage"]["completion_tokens"] == tokens
    assert scored["usage"]["prompt_tokens"] == one_by_one[1]["usage"]["prompt_tokens"] - one_by_one[0]["tokens"]


@pytest.mark.parametrize("content", ["", None])
def test_where_there_is_nothing_to_score_the_request_is_refused(client, content):
    messages = [{"role": "user", "content": "Hi"}]
    if content is not None:
        messages.append({"role": "assistant", "content": content})
    with pytest.raises(openai.BadRequestError, match="nothing to score"):
        client.post("/score", cast_to=dict, body={"model": BASE_NAME, "messages": messages})


def test_scores_are_the_same_alone_and_in_a_batch_beside_running_answers(client):
    tasks = [(answer, model) for answer in ("An apple.", "A hammer, " * 9) for model in (BASE_NAME, "team@1")]
    alone = [score(client, answer, model=model)["mean_logprob"] for answer, model in tasks]

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(ask, client, question, max_tokens=60) for question in QUESTIONS[:3]]
        batched = list(pool.map(lambda task: score(client, task[0], model=task[1])["mean_logprob"], tasks))

    assert batched == pytest.approx(alone, abs=1e-4)
    assert len({round(value, 6) for value in alone}) == 4
    assert all(future.result().usage.completion_tokens == 60 for future in running)


def test_only_the_liveness_probe_answers_without_the_key(server):
    assert httpx.get(f"{server.url}/health/live").status_code == 200
    for path in ("/health", "/v1/models", "/openapi.json", "/nowhere"):
        assert httpx.get(server.url + path).status_code == 401
    refused = httpx.post(
        f"{server.url}/v1/chat/completions", content=b"not json", headers={"Authorization": "Bearer x"}
    )
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0).models.list()


def test_health_tells_what_is_served(server):
    health = httpx.get(f"{server.url}/health", headers={"Authorization": f"Bearer {API_KEY}"}).json()

    assert health["status"] == "ok"
    assert {"team@1", "team@2"} <= set(health["adapters"])


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as refusal:
        ask(client, "Hi", model="nobody@1")
    assert refusal.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_tokens": 3_000}, "context is 2048"),
        ({"n": 2}, "n: "),
        ({"temperature": -1}, "temperature"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"stop": [""]}, "stop"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objec"}}}},
            "objec",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(client, settings, words):
    with pytest.raises(openai.BadRequestError, match=words):
        ask(client, "Hi", **settings)


def test_messages_longer_than_the_context_are_refused(client):
    with pytest.raises(openai.BadRequestError, match="shorten them") as refusal:
        ask(client, "word " * 3_000)
    assert refusal.value.code == "context_length_exceeded"


def test_a_new_adapter_is_served_without_a_restart_and_a_removed_one_no_longer(server, client, tiny_model):
    folder = save_adapter(tiny_model, server.adapters / "late@1", seed=9)

    assert "late@1" in [model.id for model in client.models.list()]
    assert ask(client, "Hi", model="late@1").model == "late@1"

    folder.rename(server.adapters / ".retired")
    with pytest.raises(openai.NotFoundError):
        ask(client, "Hi", model="late@1")


def test_an_adapter_whose_files_change_is_loaded_anew(server, client, tiny_model):
    save_adapter(tiny_model, server.adapters / "changing@1", seed=10)
    before = ask(client, "Hi", model="changing@1")

    save_adapter(tiny_model, server.adapters / "changing@1", seed=11)
    after = ask(client, "Hi", model="changing@1")

    assert before.system_fingerprint != after.system_fingerprint
    assert before.choices[0].message.content != after.choices[0].message.content


def test_a_client_that_goes_away_frees_its_place(server, client):
    headers = {"Authorization": f"Bearer {API_KEY}"}
    body = {"model": BASE_NAME, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1_900}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=0.3)
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", json=body | {"stream": True}, headers=headers
    ) as stream:
        next(stream.iter_lines())

    deadline = time.monotonic() + 3
    while httpx.get(f"{server.url}/health", headers=headers).json()["running"]:
        assert time.monotonic() < deadline, "an answer that nobody waits for is still being written"
        time.sleep(0.05)


def test_a_server_in_a_process_of_its_own_ends_when_told(tiny_model, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = (
        "from pathlib import Path; from adapters.model_server.server import serve; "
        f"serve(host='127.0.0.1', port={port}, base_dir=Path({str(tiny_model)!r}), base_name={BASE_NAME!r}, "
        f"adapters_dir=Path({str(tmp_path)!r}), api_key={API_KEY!r}, threads=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", start])
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=API_KEY)
    wait_until_live(f"http://127.0.0.1:{port}")

    assert ask(client, "Hi").usage.completion_tokens == 12

    process.terminate()
    assert process.wait(timeout=20) in {0, -signal.SIGTERM}


@pytest.mark.parametrize(("key", "base", "words"), [("", "tiny", "key"), ("key", "nowhere", "holds no model")])
def test_a_server_that_could_not_work_says_so_before_it_starts(tiny_model, tmp_path, key, base, words):
    base_dir = tiny_model if base == "tiny" else tmp_path / base

    with pytest.raises((ValueError, FileNotFoundError), match=words):
        build(base_dir, BASE_NAME, tmp_path, key)
