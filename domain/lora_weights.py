"""What an adapter does to its base model: its weights, and the form in which they act."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class LoraForm:
    """The options without which nobody knows what an adapter's weights do, by PEFT's names."""

    r: int
    lora_alpha: float
    target_modules: frozenset[str]
    use_rslora: bool = False

    def difference(self, other: LoraForm) -> Difference | None:
        """The first option that is another one there; None where the weights act alike."""
        for option in fields(self):
            here, there = getattr(self, option.name), getattr(other, option.name)
            if here != there:
                return Difference(option.name, _shown(here), _shown(there))
        return None


@dataclass(frozen=True, slots=True)
class Difference:
    """An option that two forms do not share, and its values as people read them."""

    option: str
    here: str
    there: str


@dataclass(frozen=True, slots=True)
class Weights:
    """All that an adapter's answers depend on beside its base model: the SHA-256 (hex) of the file of its weights, and
    what adapter_config.json says of how they act."""

    sha256: str
    form: LoraForm


def _shown(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    return f"{value:g}" if isinstance(value, float) else str(value)
