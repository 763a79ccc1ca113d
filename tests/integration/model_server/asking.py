"""Questions to the model server, by OpenAI's client."""

from concurrent.futures import ThreadPoolExecutor

from tests.integration.model_servers import BASE_NAME

QUESTIONS = [
    "Hi",
    "What is the capital of France, and what would you eat there on a rainy day?",
    "Name a fruit.",
    "Tell me a story about a robot that learns to cook. " * 6,
    "2+2?",
]


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
