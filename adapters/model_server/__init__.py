"""An OpenAI-compatible server of one small model and its LoRA adapters, each addressed by name."""
