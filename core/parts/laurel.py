"""Learned augmented residual (LAuReL, arXiv:2411.07501; Gemma 3n)."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field
from torch import Tensor, nn

from .base import OF_MODEL, Flops, Inherited, Linear, Part, Width, scaled
from .norm import Norm


class Laurel(Part):
    """A second path beside a part: the part's input, plus a normalised low-rank map of it."""

    title = "Laurel"
    line = "a low-rank path beside another part"
    role = "feed_forward"

    kind: Literal["laurel"]
    rank: Width = Field(description="Rank of the low-rank map", examples=[64])
    norm: Inherited[Norm] = OF_MODEL

    def build(self, d_model: int) -> nn.Module:
        return LaurelModule(self, d_model)

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        return Flops(dict.fromkeys(("left", "right"), 2 * new * d_model * self.rank))

    def shrink(self, scale: float) -> Self:
        return self.model_copy(update={"rank": scaled(self.rank, scale)})

    def facts(self):
        yield f"rank {self.rank:,}"

    def explain(self, d_model: int) -> str:
        return (
            f"Beside another part: the input plus a map of rank {self.rank:,} of it, 2 × {d_model:,} × {self.rank:,} "
            "weights, a learned addition to the residual connection."
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        yield "Laurel adds its normalised low-rank map to the normalised input, not to the stream."


class LaurelModule(nn.Module):
    def __init__(self, part: Laurel, d_model: int):
        super().__init__()
        self.left, self.right = Linear(d_model, part.rank), Linear(part.rank, d_model)
        self.map_norm = part.norm.build(d_model)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_model)
        return x + self.map_norm(self.right(self.left(x)))
