"""SiTU-GLU (Kimi K3, arXiv:2607.24653): a gated linear unit like SwiGLU, both of whose factors stay bounded."""

import torch
from torch import Tensor


def situ_glu(gate: Tensor, up: Tensor, gate_bound: float, up_bound: float | None) -> Tensor:
    """A gate that looks like SiLU near zero and approaches a bound, times the up projection, which may have one too; in float32."""
    g, u = gate.float(), up.float()
    u = u if up_bound is None else up_bound * torch.tanh(u / up_bound)
    #: y = b tanh(g / b) σ(g) u
    return (gate_bound * torch.tanh(g / gate_bound) * torch.sigmoid(g) * u).to(up.dtype)


def situ_note(gate_bound: float, up_bound: float | None) -> str:
    """What an implementation must get right."""
    other = f"{up_bound:g} · tanh(u / {up_bound:g})" if up_bound else "u, which has no bound"
    return f"The gate is {gate_bound:g} · tanh(g / {gate_bound:g}) · sigmoid(g), not g · sigmoid(g); it multiplies {other}; all in float32."
