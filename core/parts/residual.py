"""How parts read and write the residual stream.

If there are several streams, a step's `read` module computes from them what its parts read, and what else its
`write` module needs beside the parts' output; `split` makes the streams and `merge` combines them into one again.
`token_flops` of these modules counts their matrix products for one token.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Box, Eps, Shape, Spec, State
from .convolution import CausalConvolution, Kernel
from .norm import AffineModule

Streams = Annotated[int, Field(ge=2, le=16, description="Number of residual streams")]
Placement = Literal["pre", "post", "output", "sandwich", "none"]


class _Residual(Spec):
    title: ClassVar[str]  # in a list
    norm: Placement = Field(
        "pre", description="pre: x + f(norm x); post: norm(x + f x); output: x + norm(f x); sandwich: x + norm(f(norm x))"
    )
    after_eps: Eps | None = Field(None, description="Epsilon of the norms on parts' outputs; the model's if empty (Muse Glimmer)")
    scale: Annotated[float, Field(gt=0, le=1e3)] = Field(1.0, description="Factor on the output of each part")
    layer_scale: bool = Field(False, description="Multiplies a layer's output by a learned number (Gemma 4)")

    @model_validator(mode="after")
    def _after(self):
        if self.after_eps and self.norm not in ("output", "sandwich"):
            raise ValueError("after_eps: parts have no norm on their output; remove it, or give norm output or sandwich")
        return self

    def check_block(self, steps: Sequence["_Residual"], delayed: bool) -> None:
        """Raise ValueError if the steps of one layer do not fit together; `delayed` if some output is added later."""

    def check_layers(self, depth: int, steps: Iterable["_Residual"], ahead: bool) -> None:
        """Raise ValueError if this is the residual of a step, and it does not fit a model of so many layers with these residuals of
        `steps`; `ahead` if it is also that of modules that predict ahead."""

    def handed(self, d_model: int) -> Shape:
        """Shape of a part's input and output on the stream, for one token."""
        return (d_model,)

    if TYPE_CHECKING:  # at run time a field of that name may not stand over a property

        @property
        def streams(self) -> int:
            """How many residual streams there are."""

    def build(self, d_model: int, index: int) -> tuple[nn.Module | None, nn.Module]:
        """The modules by which step `index` of a block reads and writes."""
        raise NotImplementedError

    def split(self, d_model: int) -> nn.Module | None:
        """The module that makes the streams for the first block from an embedding (B, T, d_model)."""
        return None

    def merge(self, d_model: int) -> nn.Module | None:
        """The module that makes (B, T, d_model) from the last block's streams."""
        return None

    def checklist(self) -> Iterator[str]:
        placed = {
            "pre": "Each part reads the stream through a norm; its output is added without a norm.",
            "post": "The norm comes after the sum: the stream itself is normalised.",
            "output": "Parts read the stream without a norm; the norm is on their output.",
            "sandwich": "Each part has a norm on its input and another on its output.",
            "none": "There is no norm before or after a part.",
        }
        yield placed[self.norm]
        if self.after_eps:
            yield f"The norms on parts' outputs have their own eps, {self.after_eps:g}."
        if self.scale != 1:
            yield f"A part's output is multiplied by {self.scale:g} before it is added to the stream."
        if self.layer_scale:
            yield "The whole stream is multiplied by a learned number at the end of each layer."


class Residual(_Residual):
    """One stream; each part's output is added to it. The norm placements are those of GPT-2 (pre, arXiv:2002.04745),
    the first transformer (post, arXiv:1706.03762), OLMo 2 (output, arXiv:2501.00656) and Gemma 2 (sandwich,
    arXiv:2408.00118)."""

    title: ClassVar[str] = "Residual stream"
    kind: Literal["plain"] = "plain"
    levelled: bool = Field(False, description="Divides the sum of n outputs, the embedding included, by √n at each step (Beam)")
    kernel: Kernel | None = Field(None, description="Kernel size of a short convolution on each part's output; none if empty (Inkling)")
    weighted: bool = Field(False, description="Multiplies the stream by a learned weight per channel before each sum (Doge)")
    affine: bool = Field(False, description="Shifts and scales each channel of the stream and of each output (ZAYA)")

    @model_validator(mode="after")
    def _one_way(self):
        if self.levelled + bool(self.kernel) + self.affine + self.weighted > 1:
            raise ValueError("kernel: only one of levelled, weighted, affine and kernel is possible; give one of them")
        return self

    def check_block(self, steps: Sequence[_Residual], delayed: bool) -> None:
        if delayed and any(getattr(step, "kernel", None) for step in steps):
            raise ValueError("kernel: an output that is added later would pass the convolution twice; remove shortcut and aside")

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
            yield "The stream is multiplied by a learned weight for each channel before a part's output is added."
        if self.levelled:
            yield "The n-th sum is √((n − 1) / n) of the stream plus 1 / √n of the output; the embedding counts as the first output."
        if self.affine:
            yield "The stream and the part's output are each shifted, then scaled, by learned vectors; the sum is in float32."
        if self.kernel:
            yield f"A part's output passes a convolution over {self.kernel} tokens, without bias or activation, and is added to the result."


class Sharing(Box):
    """A module that stores in a dictionary what other modules of its layer use, or reads it from there."""

    def share(self, shared: dict[str, Any]) -> None:
        raise NotImplementedError


class Numbered(Box):
    """A module that needs the number of its layer, which the model sets; for one after the last layer, the number of layers."""

    layer = 0


class Add(Box):
    box = "add"
    keeps_shape = True
    label = "+"
    explain = "The part's output is added to the residual stream."

    def __init__(self, scale: float):
        super().__init__()
        self.scale = scale

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, d_model) twice
        return stream + (update if self.scale == 1 else self.scale * update)


class WeightedAdd(Add):
    explain = "The part's output is added to the residual stream, whose channels are first multiplied by learned weights."

    def __init__(self, scale: float, d_model: int):
        super().__init__(scale)
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, d_model) twice
        return super().forward(self.weight * stream, update)


class LevelledAdd(Add):
    """A sum of `sums` outputs divided by the root of their number: it keeps the size of a single output."""

    explain = "The part's output is added to the stream, which keeps its size: the n-th sum weights the stream by √((n − 1) / n)."

    sums = 2  # the value of a model's first step; the model sets that of later steps

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, d_model) twice
        return ((self.sums - 1) / self.sums) ** 0.5 * stream + self.scale * self.sums**-0.5 * update


class ConvolvedAdd(Add):
    """x + y + conv(y): each channel of the output is mixed with its values at the last tokens, which are cached."""

    label = "+ convolution"
    explain = "The part's output and a weighted sum of its last values in each channel are added to the stream."

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
    explain = "Each channel of the stream and of the part's output is shifted and scaled; then they are summed."

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
        self.register_buffer("weight", torch.ones(1))  # in checkpoints it is a buffer, not a parameter

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
