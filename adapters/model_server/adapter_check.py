"""Deciding whether a folder holds a LoRA adapter that is safe to load. It is hostile until proven otherwise.

Three files are read and nothing else: adapter_config.json, from which only known settings are taken,
adapter_model.safetensors, whose tensors must be exactly those that the settings imply for the base model, and
passport.json, which must name the hash of these weights. An adapter from elsewhere needs no passport.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from peft import LoraConfig
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from adapters.artifacts import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from adapters.lora_passport import PASSPORT_FILE
from adapters.model_server.errors import AdapterRefused
from domain.lora_weights import LoraForm

HARMLESS_SUFFIXES = {".json", ".jsonl", ".md", ".safetensors", ".txt", ".jinja"}
MAX_CONFIG_BYTES = 64 * 2**10
MAX_PASSPORT_BYTES = 64 * 2**10
MAX_METADATA_BYTES = 64 * 2**10
MAX_ENTRY_BYTES = 256
"""Of the header of adapter_model.safetensors: what stands around the tensors, and of each beside its name."""
MAX_RANK = 256
DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
"""What weights may be made of, by safetensors' names. Narrower floats are of no use without scales, which PEFT's LoRA
does not know."""
FINGERPRINT = 16
"""Hex digits of a hash that answers and logs show."""

LayerShapes = Mapping[str, tuple[int, int]]
"""Each linear layer that an adapter may change, by its name in the base model: (features out, features in)."""
TensorShapes = Mapping[str, tuple[int, int]]
"""By the names of the tensors."""


class LoraSettings(BaseModel):
    """The settings of adapter_config.json that are honoured. All others must have PEFT's default value."""

    model_config = ConfigDict(extra="allow", frozen=True)

    peft_type: Literal["LORA"]
    task_type: Literal["CAUSAL_LM"] | None = None
    base_model_name_or_path: str
    r: int = Field(ge=1, le=MAX_RANK)
    lora_alpha: float = Field(gt=0, le=4 * MAX_RANK, allow_inf_nan=False)
    use_rslora: bool = False
    target_modules: Annotated[list[str], Field(min_length=1, max_length=16)]

    @property
    def form(self) -> LoraForm:
        """How the weights act."""
        return LoraForm(self.r, self.lora_alpha, frozenset(self.target_modules), self.use_rslora)

    def peft_config(self) -> LoraConfig:
        """PEFT's form of it, made of the honoured settings alone."""
        return LoraConfig(
            task_type="CAUSAL_LM",
            inference_mode=True,
            r=self.r,
            lora_alpha=self.lora_alpha,  # type: ignore[arg-type]  # PEFT divides by it, and takes floats
            use_rslora=self.use_rslora,
            target_modules=self.target_modules,
        )


class Claim(BaseModel):
    """What passport.json says about the weights beside it, and about the base model's that they change."""

    sha256: str
    base_sha256: str | None = None


@dataclass(frozen=True)
class Adapter:
    """A folder that passed. `sha256` and `size` (bytes) are its weights'; `key` begins that of weights and config."""

    name: str
    folder: Path
    settings: LoraSettings
    sha256: str
    size: int
    key: str

    @property
    def fingerprint(self) -> str:
        """How answers name the weights."""
        return self.sha256[:FINGERPRINT]

    def must_have(self, sha256: str | None, form: LoraForm | None) -> None:
        """Raises AdapterRefused where it has other weights, or they act otherwise; None: any will do."""
        if sha256 not in (None, self.sha256):
            raise AdapterRefused(
                f"adapter {self.name!r} is refused: the sha256 of its weights is {self.sha256}, "
                f"and {sha256} was registered"
            )
        if form and (other := self.settings.form.difference(form)):
            raise AdapterRefused(
                f"adapter {self.name!r} is refused: {ADAPTER_CONFIG} has {other.option} {other.here}, "
                f"and {other.there} was registered"
            )

    def tensors(self) -> dict[str, Tensor]:
        """The weights as they were when checked. Raises AdapterRefused where the file has changed since."""
        try:
            weights = _read(self.folder / ADAPTER_WEIGHTS, self.size)
            if hashlib.sha256(weights).hexdigest() != self.sha256:
                raise _Broken("other weights")
        except _Broken as reason:
            raise AdapterRefused(f"adapter {self.name!r} changed while it was being loaded; ask again") from reason
        return load_safetensors(weights)


def check_adapter(folder: Path, base_name: str, layers: LayerShapes, base_sha256: str | None = None) -> Adapter:
    """The adapter in `folder`. `base_sha256` (hex): the base model's weights, which its passport must not contradict.
    Raises AdapterRefused, saying which rule it breaks."""
    try:
        _check_files(folder)
        config = _read(folder / ADAPTER_CONFIG, MAX_CONFIG_BYTES)
        settings = _check_config(config, base_name, layers)
        expected = dict(_expected_tensors(settings, layers))
        weights = _read(folder / ADAPTER_WEIGHTS, _most_bytes(expected))
        digest = hashlib.sha256(weights)
        _check_passport(folder, digest.hexdigest(), base_sha256)
        _check_weights(weights, expected)
    except _Broken as reason:
        raise AdapterRefused(f"adapter {folder.name!r} is refused: {reason}") from reason
    keyed = digest.copy()
    keyed.update(config)
    return Adapter(folder.name, folder, settings, digest.hexdigest(), len(weights), keyed.hexdigest()[:FINGERPRINT])


def modules_of(layers: LayerShapes) -> set[str]:
    """What `target_modules` may name."""
    return {name.rpartition(".")[2] for name in layers}


class _Broken(Exception):
    """A rule that the folder breaks."""


def _check_files(folder: Path) -> None:
    if folder.is_symlink():
        raise _Broken("its folder is a symbolic link")
    for entry in folder.iterdir():
        if entry.is_symlink() or not entry.is_file():
            raise _Broken(f"{entry.name} is not a plain file")
        if entry.suffix == ".safetensors" and entry.name != ADAPTER_WEIGHTS:
            raise _Broken(f"{entry.name} is a second file of weights")
        if entry.suffix not in HARMLESS_SUFFIXES:
            raise _Broken(f"{entry.name} does not belong into an adapter; only safetensors and texts do")


def _read(path: Path, limit: int) -> bytes:
    try:
        # O_NOFOLLOW, O_NONBLOCK: what was a plain file a moment ago may be a link or a pipe now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise _Broken(f"{path.name} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _Broken(f"{path.name} is not a plain file")
        if found.st_size > limit:
            raise _Broken(f"{path.name} is larger than {limit} bytes")
        return file.read(found.st_size)


def _check_config(config: bytes, base_name: str, layers: LayerShapes) -> LoraSettings:
    try:
        settings = LoraSettings.model_validate_json(config)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _Broken(f"{ADAPTER_CONFIG}: {place}: {first['msg']}".replace(": : ", ": ")) from error
    if Path(settings.base_model_name_or_path).name != base_name:
        raise _Broken(f"it was trained for {settings.base_model_name_or_path!r}, and this is {base_name!r}")
    if unknown := set(settings.target_modules) - modules_of(layers):
        raise _Broken(f"target_modules names layers that the model does not have: {sorted(unknown)}")
    for setting, value in (settings.model_extra or {}).items():
        if value and setting not in _WITHOUT_EFFECT and value != _PEFT_DEFAULTS.get(setting):
            raise _Broken(f"{ADAPTER_CONFIG}: {setting} is not supported")
    return settings


_PEFT_DEFAULTS: dict[str, Any] = asdict(LoraConfig())
_WITHOUT_EFFECT = {"inference_mode", "peft_version", "lora_dropout", "revision"}


def _check_passport(folder: Path, sha256: str, base_sha256: str | None) -> None:
    if not (folder / PASSPORT_FILE).exists():
        return
    try:
        claim = Claim.model_validate_json(_read(folder / PASSPORT_FILE, MAX_PASSPORT_BYTES))
    except ValidationError as error:
        raise _Broken(f"{PASSPORT_FILE} does not name the sha256 of {ADAPTER_WEIGHTS}") from error
    if base_sha256 and claim.base_sha256 and claim.base_sha256 != base_sha256:
        raise _Broken(f"it was trained on other weights of the base model: sha256 {claim.base_sha256!r:.80}")
    if claim.sha256 != sha256:
        raise _Broken(
            f"{ADAPTER_WEIGHTS} is not what was trained: "
            f"its sha256 is {sha256}, {PASSPORT_FILE} says {claim.sha256!r:.80}"
        )


def _most_bytes(expected: TensorShapes) -> int:
    """Of a file with these tensors, in the widest type that they may have. What is larger holds something else."""
    numbers = sum(rows * columns for rows, columns in expected.values())
    header = sum(len(name) + MAX_ENTRY_BYTES for name in expected) + MAX_METADATA_BYTES
    return header + numbers * max(dtype.itemsize for dtype in DTYPES)


def _check_weights(weights: bytes, expected: TensorShapes) -> None:
    try:
        tensors = load_safetensors(weights)
    except (SafetensorError, KeyError, ValueError) as error:
        raise _Broken(f"{ADAPTER_WEIGHTS} is not a safetensors file: {error}") from error
    if tensors.keys() != expected.keys():
        odd = min(tensors.keys() ^ expected.keys())
        raise _Broken(f"{ADAPTER_WEIGHTS} lacks, or should not have, the tensor {odd}")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name]:
            raise _Broken(f"{name} has the shape {tuple(tensor.shape)}, not {expected[name]}")
        if tensor.dtype not in DTYPES:
            raise _Broken(f"{name} is made of {tensor.dtype}, and not of {', '.join(DTYPES.values())}")
        if not torch.isfinite(tensor).all():
            raise _Broken(f"{name} holds something other than finite numbers")


def _expected_tensors(settings: LoraSettings, layers: LayerShapes) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, (features_out, features_in) in layers.items():
        if name.rpartition(".")[2] in settings.target_modules:
            yield f"base_model.model.{name}.lora_A.weight", (settings.r, features_in)
            yield f"base_model.model.{name}.lora_B.weight", (features_out, settings.r)
