"""Sparse latent attention whose query projection also makes a gate (A.X K2, SK Telecom, 2026)."""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from .sparse import SparseLatentAttention, SparseLatentModule


class SparseGatedLatentAttention(SparseLatentAttention):
    """The query projection reads the compressed queries twice, after and before their norm, and outputs for each head a query
    and then the logits of a sigmoid gate on the attention's output."""

    title = "Sparse latent attention, gated queries"
    line = "sparse latent attention with a gate on its output"

    kind: Literal["sparse_gated_latent_attention"]  # type: ignore[assignment]

    @property
    def of_query(self) -> tuple[int, ...]:
        return *super().of_query, self.v_dim

    def build(self, d_model: int) -> nn.Module:
        return SparseGatedLatentModule(self, d_model)

    def query_width(self, d_model: int) -> int:
        return 2 * self.q_rank

    def checklist(self, d_model: int) -> Iterator[str]:
        yield f"The query projection reads {2 * self.q_rank:,} channels: the compressed queries after their norm, then before it."
        yield "For each head it outputs a query and then a gate; the gate's sigmoid multiplies the attention's output."
        yield from super().checklist(d_model)


class SparseGatedLatentModule(SparseLatentModule):
    def queries(self, compressed: Tensor, raw: Tensor) -> Tensor:  # (B, T, Q) with and without its norm -> (B, T, H, N + R + V)
        return self.q(torch.cat((compressed, raw), dim=-1)).unflatten(-1, (self.part.heads, -1))

    def gated(self, y: Tensor, x: Tensor, *gate: Tensor) -> Tensor:  # (B, T, H V), (B, T, d_model), (B, T, H, V)
        return super().gated(y, x) * torch.sigmoid(gate[0].flatten(2).float()).to(y.dtype)
