"""How parts read and write the residual stream."""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Discriminator, Field, Tag
from torch import Tensor, nn

from .base import Spec

Placement = Literal["pre", "post", "output", "sandwich", "none"]


class _Residual(Spec):
    norm: Placement = Field(
        "pre",
        description="pre: x + f(norm x); post: norm(x + f x); output: x + norm(f x); sandwich: x + norm(f(norm x))",
    )
    scale: Annotated[float, Field(gt=0, le=1e3)] = Field(1.0, description="Each part's output is multiplied by this")
    layer_scale: bool = Field(False, description="What leaves a layer is multiplied by a learned number (Gemma 4)")

    def checklist(self) -> Iterator[str]:
        placed = {
            "pre": "Each part reads the stream through a norm; its output is added as it is.",
            "post": "The norm comes after the sum: the stream itself is normalised.",
            "output": "Parts read the stream as it is; the norm is on what they give.",
            "sandwich": "Each part has a norm on what it reads and another on what it gives.",
            "none": "No norm stands before or after a part.",
        }
        yield placed[self.norm]
        if self.scale != 1:
            yield f"What a part gives is multiplied by {self.scale:g} before it joins the stream."
        if self.layer_scale:
            yield "The whole stream is multiplied by a learned number at the end of each layer."


class Residual(_Residual):
    """One stream; each part's output is added to it. The norm placements are those of GPT-2 (pre, arXiv:2002.04745),
    the first transformer (post, arXiv:1706.03762), OLMo 2 (output, arXiv:2501.00656) and Gemma 2 (sandwich,
    arXiv:2408.00118)."""

    kind: Literal["plain"] = "plain"

    @property
    def streams(self) -> int:
        return 1

    def split(self, x: Tensor) -> Tensor:
        """What enters the first block, from an embedding (B, T, d_model)."""
        return x

    def merge(self, stream: Tensor) -> Tensor:
        """(B, T, d_model) of what the last block leaves."""
        return stream

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        return None, Add(self.scale)


class HyperConnections(_Residual):
    """Several streams, which each part mixes, reads from and writes to with learned weights (static
    hyper-connections, arXiv:2409.19606, section 2.1)."""

    kind: Literal["hyper"]
    streams: int = Field(4, ge=2, le=16, description="Copies of the residual stream")

    def split(self, x: Tensor) -> Tensor:
        return x.unsqueeze(2).repeat(1, 1, self.streams, 1)  # (B, T, streams, d_model)

    def merge(self, stream: Tensor) -> Tensor:
        return stream.sum(dim=2)  # (B, T, d_model)

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        return HyperRead(self.streams, index), HyperWrite(self.streams, self.scale)


class Add(nn.Module):
    box = "add"
    keeps_shape = True
    label = "+"
    explain = "The part's output joins the residual stream."

    def __init__(self, scale: float):
        super().__init__()
        self.scale = scale

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, d_model) twice
        return stream + (update if self.scale == 1 else self.scale * update)


class LayerScale(nn.Module):
    """The stream times one learned number, at the end of a layer."""

    box = "scale"
    keeps_shape = True
    label = "Layer scale"
    explain = "The whole stream is multiplied by one learned number."

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.ones(1))  # checkpoints have it as a buffer, which is no parameter

    def forward(self, stream: Tensor) -> Tensor:
        return stream * self.weight


class HyperRead(nn.Module):
    """x = sum over streams of a_i h_i; step k begins by reading stream k mod n alone, as in the paper."""

    box = "read"
    label = "Read streams"
    explain = "A learned mix of all residual streams is what the part reads."

    def __init__(self, streams: int, index: int):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(streams)[index % streams])

    def forward(self, stream: Tensor) -> Tensor:  # (B, T, streams, d_model) -> (B, T, d_model)
        return torch.einsum("btnd,n->btd", stream, self.weight)


class HyperWrite(nn.Module):
    """h_i <- sum over j of A_ij h_j + b_i f(x); begins as n plain residual streams."""

    box = "add"
    keeps_shape = True
    label = "Write streams"
    explain = "The streams are mixed among one another, and each takes its own share of the part's output."

    def __init__(self, streams: int, scale: float):
        super().__init__()
        self.scale = scale
        self.mix = nn.Parameter(torch.eye(streams))
        self.weight = nn.Parameter(torch.ones(streams))

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, streams, d_model), (B, T, d_model)
        mixed = torch.einsum("ij,btjd->btid", self.mix, stream)  # (B, T, streams, d_model)
        return mixed + self.scale * torch.einsum("n,btd->btnd", self.weight, update)


def _kind(value: object) -> str:
    """`plain` goes without saying."""
    return value.get("kind", "plain") if isinstance(value, dict) else getattr(value, "kind", None)


AnyResidual = Annotated[
    Annotated[Residual, Tag("plain")] | Annotated[HyperConnections, Tag("hyper")], Discriminator(_kind)
]
