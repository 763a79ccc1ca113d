"""An adapter's passport as a README: a model card as it stands now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]

WORDS = {
    "lora_adapter.reserved": "its training began",
    "lora_adapter.registered": "trained",
    "lora_adapter.promoted": "promoted",
    "lora_adapter.rolled_back": "rolled back",
    "lora_adapter.retired": "retired",
}


def card(passport: Json) -> str:
    """`passport` as the API answers it. YAML front matter as the Hugging Face Hub reads it, then Markdown."""
    adapter = passport["adapter"]
    made = adapter["passport"]
    return f"""\
---
base_model: {json.dumps(made["base_model"])}
library_name: peft
pipeline_tag: text-generation
tags: [dpo, lora, trl]
---

# {adapter["name"]}

{_standing(adapter)}

## What made it

{_table(_made_of(passport))}

```json
{json.dumps(made["config"], indent=2)}
```

`caravan adapters reproduce {adapter["name"]}` makes it again.

## What it is worth

{_evaluations(passport["evaluations"])}

{_metrics(passport)}

## What became of it

{_history(passport["history"])}

It was used in {passport["runs"]:,} runs{_newest(passport["newest_runs"])}.

{_reproductions(passport["reproductions"])}
"""


def estimate(interval: Json | None) -> str:
    """E.g. `0.640 [0.520, 0.750] of 50`."""
    if interval is None:
        return "not measured"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}] of {interval['n']}"


def left_out(figures: Json) -> str:
    """What was not measured, and why. Empty where all was."""
    counts = {"whose prompts were trained on": figures["seen"], "that a model does not take": figures["refused"]}
    return ", ".join(f"{count} {why}" for why, count in counts.items() if count)


def _standing(adapter: Json) -> str:
    if adapter["in_use"]:
        return f"A LoRA adapter in use: `{adapter['alias']}` means it."
    return f"A LoRA adapter, {adapter['state'].replace('_', ' ')}."


def _made_of(passport: Json) -> Iterable[tuple[str, str]]:
    made, dataset = passport["adapter"]["passport"], passport["dataset"]
    yield "Weights", f"`sha256:{made['sha256']}`"
    yield "Base model", f"{made['base_model']}, `sha256:{made['base_sha256']}`"
    data = f"dataset `{made['dataset_id']}`, `sha256:{made['dataset_sha256']}`"
    yield "Data", f"{data}, as of position {made['position']}"
    if dataset:
        yield "Filter", f"`{_short(dataset['filter'])}`"
        yield "Recipe", f"`{_short(dataset['recipe'])}`"
    yield "Pairs, steps", f"{made['pairs']}, {made['steps'] or made['config']['max_steps']}"
    yield "Seed", str(made["config"]["seed"])
    start = made["start_from"]
    yield "Began as", f"{start['adapter']}, `sha256:{start['sha256']}`" if start else "a new adapter"
    yield "Made with", ", ".join(f"{name} {said}" for name, said in made["made_with"].items()) or "not noted"
    yield "Training run", f"`{made['training_run']}`"


def _evaluations(evaluations: Iterable[Json]) -> str:
    rows = [_evaluated(one, one["figures"]) for one in evaluations if one["figures"]]
    if not rows:
        return "It was never evaluated on held-out prompts."
    columns = "| When | Against | Held-out accuracy | Gain | Win rate | Left out |"
    return "\n".join([columns, "|---|---|---|---|---|---|", *rows])


def _evaluated(one: Json, figures: Json) -> str:
    measured = (_accuracies(figures), estimate(figures["gain"]), estimate(figures["win_rate"]), left_out(figures))
    return f"| {one['finished_at']} | {one['against']} | {' | '.join(measured)} |"


def _accuracies(figures: Json) -> str:
    return "<br>".join(f"{one['model']}: {estimate(one['by_mean'])}" for one in figures["accuracies"])


def _metrics(passport: Json) -> str:
    run, step = passport["training"], passport["last_step"]
    if not run or not step or run["loss_after"] is None:
        return ""
    told = f"Loss {run['loss_before']:.4f} before and {run['loss_after']:.4f} after its training; "
    told += f"reward margin {step['margin']:.3f}, accuracy {step['accuracy']:.2f} on the last batch."
    return "\n".join([told, *(f"- {warning['says']} ({warning['code']})" for warning in passport["health"])])


def _history(events: Iterable[Json]) -> str:
    lines = []
    for event in events:
        data = event.get("data", {})
        why = f": {' '.join(data['reason'].split())}" if data.get("reason") else ""
        lines.append(f"- {event['time']} {WORDS.get(event['type'], event['type'])} by {event.get('actor')}{why}")
    return "\n".join(lines)


def _newest(runs: list[Json]) -> str:
    return "; the newest: " + ", ".join(f"`{run['run_id']}`" for run in runs) if runs else ""


def _reproductions(found: list[Json]) -> str:
    def said(one: Json) -> str:
        if one["same"] is None:
            return str(one["state"])
        why = "; ".join(one["differs"]) or "nobody knows why"
        return "the same weights" if one["same"] else f"other weights ({why})"

    return "\n".join(f"- Made again as {one['adapter']}: {said(one)}" for one in found)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {said} |" for name, said in rows)])


def _short(value: Json) -> str:
    """Only what says something."""
    return json.dumps({name: said for name, said in value.items() if said not in (None, [], "", 0.0, False)})
