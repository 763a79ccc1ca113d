from __future__ import annotations

import sys

from adapters.dpo.launching import launcher, scrubbed


def test_a_training_process_gets_no_secrets_and_no_hub() -> None:
    environment = scrubbed({"PATH": "/bin", "HF_TOKEN": "x", "DATABASE_URL": "y", "OMP_NUM_THREADS": "4"})
    assert {"PATH": "/bin", "OMP_NUM_THREADS": "4", "HF_HUB_OFFLINE": "1"}.items() <= environment.items()
    assert not environment.keys() & {"HF_TOKEN", "DATABASE_URL"}


def test_a_training_uses_a_gpu_a_process_and_the_operator_says_which() -> None:
    assert scrubbed({})["CUDA_VISIBLE_DEVICES"] == "0"
    assert scrubbed({"CUDA_VISIBLE_DEVICES": "3"})["CUDA_VISIBLE_DEVICES"] == "3"
    assert scrubbed({}, processes=2)["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_cublas_is_told_to_compute_alike_whatever_it_was_told_before() -> None:
    for told in ({}, {"CUBLAS_WORKSPACE_CONFIG": ":0:0"}):
        assert scrubbed(told)["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_several_processes_are_started_by_accelerate() -> None:
    assert launcher(1) == [sys.executable]
    assert launcher(2)[:6] == [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
    ]
