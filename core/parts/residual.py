"""How parts read and write the residual stream.

Where there are several streams, a step's `read` module makes of them what its parts read, and whatever else of them its
`write` module is to be given beside the parts' output; `split` makes the streams and `merge` makes one of them again.
A module's `share` puts what others of its layer compute with into a dictionary, or takes it from there.
`token_flops` of these modules are their matrix products for one token.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Eps, Positive, Spec, State, normal
from .convolution import CausalConvolution, Kernel
from .norm import AffineModule

Placement = Literal["pre", "post", "output", "sandwich", "none"]


class _Residual(Spec):
    norm: Placement = Field(
        "pre",
        description="pre: x + f(norm x); post: norm(x + f x); output: x + norm(f x); sandwich: x + norm(f(norm x))",
    )
    scale: Annotated[float, Field(gt=0, le=1e3)] = Field(1.0, description="Each part's output is multiplied by this")
    layer_scale: bool = Field(False, description="What leaves a layer is multiplied by a learned number (Gemma 4)")

    def check_block(self, steps: Sequence["_Residual"], delayed: bool) -> None:
        """Raise ValueError where the steps of one layer do not fit together; `delayed` if some output joins later."""

    def split(self, d_model: int) -> nn.Module | None:
        """What makes the streams that enter the first block of an embedding (B, T, d_model)."""
        return None

    def merge(self, d_model: int) -> nn.Module | None:
        """What makes (B, T, d_model) of what the last block leaves."""
        return None

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
    levelled: bool = Field(
        False, description="The sum of n outputs, the embedding among them, is divided by √n as it grows (Beam)"
    )
    kernel: Kernel | None = Field(
        None, description="A part's output is mixed with its last so many by a short convolution as it joins (Inkling)"
    )

    weighted: bool = Field(False, description="The stream has a learned weight for each channel in every sum (Doge)")
    affine: bool = Field(
        False, description="The stream and what joins it are each shifted and scaled, channel by channel (ZAYA)"
    )

    @model_validator(mode="after")
    def _one_way(self):
        if self.levelled + bool(self.kernel) + self.affine + self.weighted > 1:
            raise ValueError("kernel: a sum is levelled, weighted, affine or has a convolution; give one of them")
        return self

    @property
    def streams(self) -> int:
        return 1

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        """How step `index` of a block reads and writes."""
        if self.kernel:
            return None, ConvolvedAdd(self.scale, d_model, self.kernel)
        if self.affine:
            return None, AffineAdd(self.scale, d_model)
        if self.weighted:
            return None, WeightedAdd(self.scale, d_model)
        return None, LevelledAdd(self.scale) if self.levelled else Add(self.scale)

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        if self.weighted:
            yield "The stream is multiplied channel by channel by learned weights before a part's output joins it."
        if self.levelled:
            yield "The n-th sum is √((n − 1) / n) of the stream plus 1 / √n of the output; the embedding is the first of them."
        if self.affine:
            yield "The stream and what joins it are each shifted, then scaled, by learned vectors; the sum is in float32."
        if self.kernel:
            yield f"What a part gives passes a convolution over {self.kernel} tokens, without bias or activation, and is added to it."


Streams = Annotated[int, Field(ge=2, le=16, description="Copies of the residual stream")]


class HyperConnections(_Residual):
    """Several streams, which each part mixes, reads from and writes to with learned weights (static
    hyper-connections, arXiv:2409.19606, section 2.1)."""

    kind: Literal["hyper"]
    streams: Streams = 4

    def split(self, d_model: int) -> nn.Module:
        return CopyStreams(self.streams)

    def merge(self, d_model: int) -> nn.Module:
        return SumStreams()

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        return HyperRead(self.streams, index, d_model), HyperWrite(self.streams, self.scale, d_model)


class ManifoldHyperConnections(_Residual):
    """Hyper-connections whose weights each token computes from its own streams. What mixes the streams among one another
    is brought near a doubly stochastic matrix by Sinkhorn's iterations, so that no depth makes them grow (mHC,
    arXiv:2512.24880, section 4; DeepSeek-V4, section 2.2)."""

    kind: Literal["manifold_hyper"]
    streams: Streams = 4
    iterations: int = Field(20, ge=0, le=100, description="Sinkhorn's iterations; 0 leaves each stream to itself (Hy4)")
    reach: Positive = Field(2.0, description="A stream takes at most this much of a part's output")
    eps: Eps = Field(1e-6, description="Added to the weights, and to the sums that they are divided by")
    norm_eps: Eps = Field(
        1e-6, description="Of the norm over all streams together, which the weights are computed from"
    )

    def split(self, d_model: int) -> nn.Module:
        return CopyStreams(self.streams)

    def merge(self, d_model: int) -> nn.Module:
        return ManifoldMerge(self, d_model)

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        flops = 2 * self.streams**2 * d_model if self.iterations else 0
        return ManifoldRead(self, d_model), ManifoldWrite(self.scale, flops)

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield f"A token's weights for its {self.streams} streams are computed in float32 from all of them together, under one norm."
        yield f"What is read passes a sigmoid plus {self.eps:g}; what is written, {self.reach:g} times a sigmoid."
        if self.iterations:
            yield (
                f"What mixes the streams is a softmax by rows, then divided by its columns' sums and {self.iterations - 1} times "
                "by rows' and columns' again; it is applied transposed."
            )


class GatedStreams(_Residual):
    """Several streams, which each part reads through a gate of its own on every channel, computed from all of them through a
    narrow rank, and which each take their own share of what it gives (Qwen 4). The norm is on each stream, in the read."""

    kind: Literal["gated_streams"]
    norm: Literal["none"] = Field("none", description="No norm stands before a part but that on the streams")
    streams: Streams = 4
    rank: Annotated[int, Field(ge=1, le=65_536)] = Field(320, description="Width that the gates are computed through")
    norm_eps: Eps = Field(1e-6, description="Of the norm on each stream")

    def split(self, d_model: int) -> nn.Module:
        return CopyStreams(self.streams)

    def merge(self, d_model: int) -> nn.Module:
        return GatedMerge(self, d_model)

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        return GatedRead(self, d_model), ManifoldWrite(self.scale)

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield f"What is read is the mean of the {self.streams} normalised streams, each channel times a sigmoid gate of its own."
        yield f"Both gates' logits are divided by {self.streams}; what a stream takes is twice a sigmoid."
        yield "The stored norm weight of the streams is its distance from one; after the last layer a last read replaces the norm."


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


class WeightedAdd(Add):
    explain = "The part's output joins the residual stream, whose channels each have a learned weight here."

    def __init__(self, scale: float, d_model: int):
        super().__init__(scale)
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, d_model) twice
        return super().forward(self.weight * stream, update)


class LevelledAdd(Add):
    """A sum of `sums` outputs over the root of their number: as large as each of them alone."""

    explain = (
        "The part's output joins the stream, which keeps its size: the n-th sum weighs the stream by √((n − 1) / n)."
    )

    sums = 2  # in the first step of a model; the model says which one this is

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, d_model) twice
        return ((self.sums - 1) / self.sums) ** 0.5 * stream + self.scale * self.sums**-0.5 * update


class ConvolvedAdd(Add):
    """x + y + conv(y): each channel of the output is mixed with itself at the last tokens, which are kept."""

    label = "+ convolution"
    explain = "The part's output joins the stream together with a weighted sum of its last values, channel by channel."

    def __init__(self, scale: float, d_model: int, kernel: int):
        super().__init__(scale)
        self.token_flops = 2 * kernel * d_model
        self.inputs = State(kernel - 1, d_model)
        self.convolve = CausalConvolution(d_model, kernel)

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, d_model) twice
        mixed, last = self.convolve(update, self.inputs.before(update))
        self.inputs(last)
        return super().forward(stream, update + mixed)


class AffineAdd(Add):
    """ZAYA1's residual scaling (arXiv:2511.17127)."""

    label = "Scaled +"
    explain = "The stream and the part's output are each shifted and scaled, channel by channel; then they are summed."

    def __init__(self, scale: float, d_model: int):
        super().__init__(scale)
        self.keep, self.take = AffineModule(d_model), AffineModule(d_model)

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, d_model) twice
        return super().forward(self.keep(stream), self.take(update))


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


class CopyStreams(nn.Module):
    box = "read"
    label = "Copy to streams"
    explain = "Every stream begins as the embedding."
    token_flops = 0

    def __init__(self, streams: int):
        super().__init__()
        self.streams = streams

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_model) -> (B, T, streams, d_model)
        return x.unsqueeze(2).repeat(1, 1, self.streams, 1)


class SumStreams(nn.Module):
    box = "read"
    label = "Sum of streams"
    explain = "The streams are added up."
    token_flops = 0

    def forward(self, stream: Tensor) -> Tensor:  # (B, T, streams, d_model) -> (B, T, d_model)
        return stream.sum(dim=2)


class HyperRead(nn.Module):
    """x = sum over streams of a_i h_i; step k begins by reading stream k mod n alone, as in the paper."""

    box = "read"
    label = "Read streams"
    explain = "A learned mix of all residual streams is what the part reads."

    def __init__(self, streams: int, index: int, d_model: int):
        super().__init__()
        self.token_flops = 2 * streams * d_model
        self.weight = nn.Parameter(torch.eye(streams)[index % streams])

    def forward(self, stream: Tensor) -> tuple[Tensor]:  # (B, T, streams, d_model) -> (B, T, d_model)
        return (torch.einsum("btnd,n->btd", stream, self.weight),)


class HyperWrite(nn.Module):
    """h_i <- sum over j of A_ij h_j + b_i f(x); begins as n plain residual streams."""

    box = "add"
    keeps_shape = True
    label = "Write streams"
    explain = "The streams are mixed among one another, and each takes its own share of the part's output."

    def __init__(self, streams: int, scale: float, d_model: int):
        super().__init__()
        self.scale, self.token_flops = scale, 2 * streams * streams * d_model
        self.mix = nn.Parameter(torch.eye(streams))
        self.weight = nn.Parameter(torch.ones(streams))

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, streams, d_model), (B, T, d_model)
        mixed = torch.einsum("ij,btjd->btid", self.mix, stream)  # (B, T, streams, d_model)
        return mixed + self.scale * self.weight[:, None] * update.unsqueeze(2)


class ManifoldRead(nn.Module):
    """Of n streams X: x = sum of a_i X_i with a = sigmoid + eps; how much of the output each takes; and the n × n matrix
    that mixes them. All are one linear map of the normalised streams, times a scale for each kind, plus a base."""

    box = "read"
    label = "Read streams"
    explain = (
        "From all its streams together each token computes what the part reads of them, what they will take of its output, "
        "and how they are mixed."
    )

    def __init__(self, residual: ManifoldHyperConnections, d_model: int):
        super().__init__()
        self.residual, n = residual, residual.streams
        self.sizes = (n, n, n * n) if residual.iterations else (n, n)
        self.weight = normal(sum(self.sizes), n * d_model)
        self.base = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.scale = nn.Parameter(torch.ones(len(self.sizes)))
        self.token_flops = 2 * self.weight.numel()

    def forward(self, stream: Tensor) -> tuple[Tensor, ...]:
        """(B, T, n, d_model) -> (B, T, d_model), (B, T, n) and, where streams are mixed, (B, T, n, n)."""
        spec = self.residual
        logits = manifold_logits(stream, self.weight, spec.norm_eps).split(self.sizes, dim=-1)
        logits = [
            x * scale + base for x, scale, base in zip(logits, self.scale, self.base.split(self.sizes), strict=True)
        ]
        read, take = logits[0].sigmoid() + spec.eps, spec.reach * logits[1].sigmoid()
        x = (read.unsqueeze(-1) * stream).sum(dim=2).to(stream.dtype)
        if not spec.iterations:
            return x, (take + spec.eps).to(x.dtype)
        mix = logits[2].unflatten(-1, (spec.streams, -1)).softmax(dim=-1) + spec.eps  # (B, T, n, n)
        for step in range(spec.iterations):
            mix = mix / (mix.sum(dim=-1, keepdim=True) + spec.eps) if step else mix
            mix = mix / (mix.sum(dim=-2, keepdim=True) + spec.eps)
        return x, take.to(x.dtype), mix.to(x.dtype)

    def outline(self, stream: Tensor) -> tuple[Tensor, ...]:
        *lead, n, d = stream.shape
        shapes = ((d,), (n,), (n, n))
        return tuple(stream.new_empty(*lead, *shape) for shape in shapes[: len(self.sizes)])


class ManifoldWrite(nn.Module):
    """X_j <- sum over i of M_ij X_i + b_j f(x)."""

    box = "add"
    keeps_shape = True
    label = "Write streams"
    explain = "The streams are mixed among one another, and each takes its own share of the part's output."

    def __init__(self, scale: float, token_flops: int = 0):
        super().__init__()
        self.scale, self.token_flops = scale, token_flops

    def forward(self, stream: Tensor, update: Tensor, take: Tensor, mix: Tensor | None = None) -> Tensor:
        """(B, T, n, d_model), (B, T, d_model), (B, T, n), (B, T, n, n) -> (B, T, n, d_model)."""
        kept = stream if mix is None else torch.einsum("btij,btid->btjd", mix, stream)
        return kept + self.scale * take.unsqueeze(-1) * update.unsqueeze(2)


class ManifoldMerge(nn.Module):
    """x = sum of a_i X_i, with weights computed as those that a part reads by."""

    box = "read"
    label = "Merge streams"
    explain = "One more mix of the streams, computed by each token from its own, is what the last norm reads."

    def __init__(self, residual: ManifoldHyperConnections, d_model: int):
        super().__init__()
        self.residual, n = residual, residual.streams
        self.weight = normal(n, n * d_model)
        self.base, self.scale = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.ones(1))
        self.token_flops = 2 * self.weight.numel()

    def forward(self, stream: Tensor) -> Tensor:  # (B, T, n, d_model) -> (B, T, d_model)
        logits = manifold_logits(stream, self.weight, self.residual.norm_eps) * self.scale + self.base  # (B, T, n)
        return ((logits.sigmoid() + self.residual.eps).unsqueeze(-1) * stream).sum(dim=2).to(stream.dtype)


class GatedMerge(nn.Module):
    """x = mean of g_i * norm X_i, with gates g = sigmoid(U silu(D norm X / n)) of every channel of every stream."""

    box = "read"
    label = "Gate streams"
    explain = "The mean of the normalised streams, each channel times a gate that is computed from all of them through a narrow rank."

    def __init__(self, residual: GatedStreams, d_model: int):
        super().__init__()
        self.residual, n = residual, residual.streams
        self.norm_weight = nn.Parameter(torch.zeros(n, d_model))  # its distance from one
        self.down, self.up = normal(residual.rank, n * d_model), normal(n * d_model, residual.rank)
        self.token_flops = 2 * (self.down.numel() + self.up.numel())

    def forward(self, stream: Tensor) -> Tensor:  # (B, T, n, d_model) -> (B, T, d_model)
        return self.mean(self.normed(stream))

    def normed(self, stream: Tensor) -> Tensor:
        x = F.rms_norm(stream.float(), stream.shape[-1:], None, self.residual.norm_eps)
        return (x * (1 + self.norm_weight.float())).to(stream.dtype)

    def mean(self, normed: Tensor) -> Tensor:
        gates = F.silu(F.linear(normed.flatten(2), self.down) / self.residual.streams)  # (B, T, rank)
        gates = torch.sigmoid(F.linear(gates, self.up)).unflatten(-1, normed.shape[2:])  # (B, T, n, d_model)
        return (gates * normed).mean(dim=2)


class GatedRead(GatedMerge):
    """The same, and how much of the output each stream takes: 2 sigmoid(W norm X / n)."""

    def __init__(self, residual: GatedStreams, d_model: int):
        super().__init__(residual, d_model)
        self.take = normal(residual.streams, residual.streams * d_model)
        self.token_flops += 2 * self.take.numel()

    def forward(self, stream: Tensor) -> tuple[Tensor, Tensor]:  # (B, T, n, d_model) -> (B, T, d_model), (B, T, n)
        normed = self.normed(stream)
        return self.mean(normed), 2 * torch.sigmoid(F.linear(normed.flatten(2), self.take) / self.residual.streams)


def manifold_logits(stream: Tensor, weight: Tensor, eps: float) -> Tensor:
    """(B, T, n, d_model), (out, n d_model) -> (B, T, out) of all streams together under one norm, in float32."""
    flat = stream.flatten(2).float()
    return F.linear(F.rms_norm(flat, flat.shape[-1:], None, eps), weight.float())
