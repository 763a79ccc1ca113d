"""How likely the model finds an answer that it is given."""

import math
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.integration.model_server.asking import QUESTIONS, ask, score
from tests.integration.model_servers import BASE_NAME


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


def test_what_the_assistant_says_in_messages_that_are_given_is_read_and_not_scored(client):
    given = [
        {"role": "user", "content": "Name a fruit."},
        {"role": "assistant", "content": "An apple."},
        {"role": "user", "content": "And another one?"},
    ]
    answer = "A pear, of course."
    expected = client.post("/score", cast_to=dict, body={"model": "team@1", "messages": given, "answer": answer})

    messages = [*given, {"role": "assistant", "content": answer}]
    scored = client.post("/score", cast_to=dict, body={"model": "team@1", "messages": messages, "given": 3})

    assert scored["mean_logprob"] == pytest.approx(expected["mean_logprob"], abs=1e-5)
    assert scored["usage"] == expected["usage"]
    with pytest.raises(openai.BadRequestError, match="nothing to score"):
        client.post("/score", cast_to=dict, body={"model": "team@1", "messages": messages, "given": 4})


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
