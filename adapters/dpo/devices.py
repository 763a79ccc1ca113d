"""What a training computes on, and in which precision."""

from __future__ import annotations

from dataclasses import replace

import torch

from adapters.dpo.failures import NoGpu
from adapters.dpo.job import DpoJob
from adapters.durable_files import write_private


def with_precision(job: DpoJob) -> DpoJob:
    """The same job, with `auto` settled, once for all its tries: one that goes on computes as it began, and the
    passport names what that was."""
    config = job.job.config
    if config.precision != "auto":
        return job
    settled = job.folder / "precision"
    if not settled.exists():
        write_private(settled, "bf16" if computes_bf16(job.device) else "fp32")
    return replace(job, job=replace(job.job, config=replace(config, precision=settled.read_text())))


def computes_bf16(device: str) -> bool:
    """Whether that device has instructions for it, and PyTorch uses them. Emulated, a step takes up to sixty times as
    long as in fp32: so it was measured on a processor with no more than AVX2."""
    if not uses_cpu(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able, used = torch.cpu.get_capabilities(), torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return used and any(able.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def compute_alike(device: str) -> None:
    """The same numbers each time on a GPU, too, as far as PyTorch knows how; of what it does not, it warns in the log.
    cuBLAS has to find CUBLAS_WORKSPACE_CONFIG besides."""
    if not uses_cpu(device):
        torch.use_deterministic_algorithms(True, warn_only=True)


def must_have_gpus(device: str, processes: int) -> None:
    """Raises NoGpu where several processes cannot have a GPU each. On the CPU they share its cores."""
    if processes > 1 and not uses_cpu(device) and (found := torch.cuda.device_count()) < processes:
        raise NoGpu(f"num_processes is {processes}, but PyTorch sees {found} GPU: ask for as many processes as GPUs")


def uses_cpu(device: str) -> bool:
    """Raises NoGpu, where TRL would quietly train on the CPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise NoGpu("the device is to be cuda, but PyTorch sees no GPU: set it to auto or cpu")
    return device == "cpu" or not torch.cuda.is_available()
