"""How parts read and write the residual stream.

Where there are several streams, a step's `read` module makes of them what its parts read, and whatever else of them its
`write` module is to be given beside the parts' output; `split` makes the streams and `merge` makes one of them again.
A module's `share` puts what others of its layer compute with into a dictionary, or takes it from there.
`token_flops` of these modules are their matrix products for one token.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Box, Eps, Shape, Spec, State
from .convolution import CausalConvolution, Kernel
from .norm import AffineModule

Streams = Annotated[int, Field(ge=2, le=16, description="Copies of the residual stream")]
Placement = Literal["pre", "post", "output", "sandwich", "none"]


class _Residual(Spec):
    norm: Placement = Field(
        "pre",
        description="pre: x + f(norm x); post: norm(x + f x); output: x + norm(f x); sandwich: x + norm(f(norm x))",
    )
    after_eps: Eps | None = Field(
        None, description="Of the norms on what parts give, where it differs from the model's (Muse Glimmer)"
    )
    scale: Annotated[float, Field(gt=0, le=1e3)] = Field(1.0, description="Each part's output is multiplied by this")
    layer_scale: bool = Field(False, description="What leaves a layer is multiplied by a learned number (Gemma 4)")

    @model_validator(mode="after")
    def _after(self):
        if self.after_eps and self.norm not in ("output", "sandwich"):
            raise ValueError("after_eps: no norm is on what parts give; leave it out, or give norm output or sandwich")
        return self

    def check_block(self, steps: Sequence["_Residual"], delayed: bool) -> None:
        """Raise ValueError where the steps of one layer do not fit together; `delayed` if some output joins later."""

    def handed(self, d_model: int) -> Shape:
        """What a part is given of the stream for one token, and gives back."""
        return (d_model,)

    if TYPE_CHECKING:  # at run time a field of that name may not stand over a property

        @property
        def streams(self) -> int:
            """How many residual streams there are."""

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        """How step `index` of a block reads and writes."""
        raise NotImplementedError

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
        if self.after_eps:
            yield f"The norms on what parts give have an eps of their own, {self.after_eps:g}."
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

    def check_block(self, steps: Sequence[_Residual], delayed: bool) -> None:
        if delayed and any(getattr(step, "kernel", None) for step in steps):
            raise ValueError(
                "kernel: what joins later would pass the convolution's state twice; give no shortcut and no aside"
            )

    @property
    def streams(self) -> int:
        return 1

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
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


class Add(Box):
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


class LayerScale(Box):
    """The stream times one learned number, at the end of a layer."""

    box = "scale"
    keeps_shape = True
    label = "Layer scale"
    explain = "The whole stream is multiplied by one learned number."

    weight: Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.ones(1))  # checkpoints have it as a buffer, which is no parameter

    def forward(self, stream: Tensor) -> Tensor:
        return stream * self.weight


class CopyStreams(Box):
    box = "read"
    label = "Copy to streams"
    explain = "Every stream begins as the embedding."

    def __init__(self, streams: int):
        super().__init__()
        self.streams = streams

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_model) -> (B, T, streams, d_model)
        return x.unsqueeze(2).repeat(1, 1, self.streams, 1)
