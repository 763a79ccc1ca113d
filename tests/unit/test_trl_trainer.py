from __future__ import annotations

from adapters.trl_trainer import scrubbed


def test_a_training_process_gets_no_secrets_and_no_hub() -> None:
    environment = scrubbed({"PATH": "/bin", "HF_TOKEN": "x", "DATABASE_URL": "y", "OMP_NUM_THREADS": "4"})
    assert {"PATH": "/bin", "OMP_NUM_THREADS": "4", "HF_HUB_OFFLINE": "1"}.items() <= environment.items()
    assert not environment.keys() & {"HF_TOKEN", "DATABASE_URL"}


def test_a_training_uses_one_gpu_and_the_operator_says_which() -> None:
    assert scrubbed({})["CUDA_VISIBLE_DEVICES"] == "0"
    assert scrubbed({"CUDA_VISIBLE_DEVICES": "3"})["CUDA_VISIBLE_DEVICES"] == "3"
