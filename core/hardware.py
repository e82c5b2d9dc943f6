"""Accelerators for running models: their memory as their makers state it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """One accelerator, or a machine of several: memory in bytes (10^9 to the gigabyte, as makers count)."""

    name: str
    memory: int
    source: str


ACCELERATORS = (
    Accelerator("RTX 4090", 24 * 10**9, "NVIDIA GeForce RTX 4090 specifications"),
    Accelerator("H100", 80 * 10**9, "NVIDIA H100 Tensor Core GPU datasheet, SXM"),
    Accelerator("H200", 141 * 10**9, "NVIDIA H200 Tensor Core GPU datasheet"),
    Accelerator("8 × H100", 640 * 10**9, "NVIDIA DGX H100 datasheet"),
    Accelerator("8 × B200", 1_440 * 10**9, "NVIDIA DGX B200 datasheet"),
)
