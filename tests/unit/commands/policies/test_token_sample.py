"""How many tokens the pairs of a dataset have, by a sample of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from random import Random

from commands.policies.token_sample import SIZE, TokenSample
from domain.dataset_contents import TokenLengths


class Words:
    """The TokenCounter port: a token is a word."""

    vocabulary = "words@1"

    def count(self, texts: Sequence[str]) -> int:
        return sum(len(text.split()) for text in texts)


def offered(numbers: Sequence[int]) -> TokenSample:
    """Pairs of so many words each; each has the same choice whenever it is offered."""
    sample = TokenSample(Words())
    for number in numbers:
        line = a_line("word " * (number % 500 + 1), "no", "Why so?")
        sample.offer(sha256(b"%d" % number).digest(), "train", number, line)
    return sample


def a_line(chosen: str, rejected: str, prompt: str) -> bytes:
    """Of a dataset, less what nobody counts."""
    texts = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return json.dumps({column: [{"role": "user", "content": text}] for column, text in texts.items()}).encode()


def found(sample: TokenSample, gone: dict[str, bytearray] | None = None) -> TokenLengths:
    lengths = sample.found(gone or {})
    assert lengths
    return lengths


def test_all_of_a_small_dataset_is_counted_the_prompt_with_the_longer_answer() -> None:
    lengths = found(offered(range(300)))
    assert (lengths.vocabulary, lengths.pairs) == ("words@1", 300)
    assert (lengths.lengths.least, lengths.lengths.most) == (3, 302)
    assert lengths.over == {"256": 302 - 256, "512": 0, "1024": 0, "2048": 0, "4096": 0}


def test_of_a_large_one_as_many_are_drawn_and_the_same_whatever_their_order() -> None:
    numbers = list(range(10 * SIZE))
    lengths = found(offered(numbers))
    assert lengths.pairs == SIZE
    Random(1).shuffle(numbers)
    assert found(offered(numbers)) == lengths


def test_what_is_taken_out_again_is_not_counted() -> None:
    assert found(offered(range(3)), {"train": bytearray([0, 0, 1])}).lengths.most == 4


def test_without_a_vocabulary_nothing_is_counted() -> None:
    sample = TokenSample(None)
    sample.offer(b"", "train", 0, b"")
    assert sample.found({}) is None
