"""A dataset's card: README.md with the YAML that `datasets` and the Hugging Face Hub read, and what a person must know.

https://huggingface.co/docs/hub/datasets-cards. Of a licence it says nothing: nobody told us of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

MEANINGS = {
    "prompt": "the conversation up to the answers",
    "chosen": "the better answer",
    "rejected": "the worse answer",
    "weight": "how much the pair counts, from 0 (a coin toss) to 1 (settled by annotators, or as sure)",
    "preference_id": "the pair in Caravan, where its opinions are",
    "verdict": "what the annotators came to; null: it is as it was proposed",
    "method": "the policy that proposed the pair; `imported/...`: it was judged elsewhere",
    "probability": "that the chosen answer beats the rejected one, by that method",
    "run_id": "the run whose agents answered",
    "chosen_step": "the step that gave the chosen answer",
    "rejected_step": "the step that gave the rejected answer",
    "chosen_agent": "who wrote the chosen answer",
    "rejected_agent": "who wrote the rejected answer",
    "position": "of the pair's last event in the log",
}

NOT_ALL_THERE = ("A split without a pair has no file, as `load_dataset` opens no folder that has an empty one.", "")


def table_of(split: str) -> str:
    """Where a split's rows are in the folder, as the Hub names it."""
    return f"data/{split}-00000-of-00001.parquet"


def card(facts: Mapping[str, Any], counts: Mapping[str, int], schema: pa.Schema) -> str:
    """`counts`: how many rows each split has; one without any has no file. YAML's strings are written as JSON's, which
    they include: `no` by itself would be false."""
    head = [
        f"pretty_name: {json.dumps('Caravan preferences ' + str(facts['dataset_id']))}",
        "tags:\n- preference\n- dpo\n- trl",
        f"size_categories:\n- {_size(sum(counts.values()))}",
        *_configs([split for split, count in counts.items() if count]),
    ]
    said = [f"| {name} | `{_plain(value)}` |" for name, value in facts.items()]
    splits = [f"| {split} | {count:,} |" for split, count in counts.items()]
    columns = [f"| `{name}` | {MEANINGS[name]} |" for name in schema.names]
    return "\n".join(
        [
            "---",
            *head,
            "---",
            "",
            "# Preference pairs from Caravan",
            "",
            "Two answers to one prompt a row, the better one first, in TRL's explicit conversational format. Rebuilt",
            "from the events up to `as_of` with the same filter, it has the same bytes, of which `sha256` is the hash.",
            "",
            "| | |",
            "|---|---|",
            *said,
            "",
            "Annotators are people, or agents and automations that were given that role; `annotated` counts the pairs",
            "that any of them settled. Who it was, and of which kind, is in the history of each pair in Caravan.",
            "",
            "| split | pairs |",
            "|---|---|",
            *splits,
            "",
            *(NOT_ALL_THERE if 0 in counts.values() else ()),
            "| column | what |",
            "|---|---|",
            *columns,
            "",
            "## Use",
            "",
            "```python",
            "from datasets import load_dataset",
            "",
            'dataset = load_dataset("path/to/this/folder")',
            "```",
            "",
            "TRL's `DPOTrainer` takes it as it is; it reads `prompt`, `chosen` and `rejected`.",
            "",
            "## Licence",
            "",
            "Not stated. The texts come from the models and people that the columns name, and from imported files;",
            "their terms apply. Say which before you pass this on.",
            "",
        ]
    )


def _configs(splits: Sequence[str]) -> list[str]:
    """Where the splits are; nothing where there is none."""
    if not splits:
        return []
    files = [f"  - split: {json.dumps(split)}\n    path: {json.dumps(table_of(split))}" for split in splits]
    return ["configs:\n- config_name: default\n  data_files:", *files]


def _plain(value: object) -> str:
    """A fact in a table's cell."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.replace("`", "'").replace("|", "\\|").replace("\n", " ")


def _size(rows: int) -> str:
    """As the Hub's categories have it."""
    for most, name in ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")):
        if rows < most:
            return name
    return "n>1M"
