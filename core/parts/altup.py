"""Alternating updates (AltUp, arXiv:2301.13310; Gemma 3n): several streams, of which a layer computes only one."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Box, Eps, Linear, normal
from .residual import Sharing, Streams, _Residual


class AltUp(_Residual):
    """A layer predicts all its streams, computes one of them, and corrects the others by how far the
    prediction was from the result. `at` says which of this a step does; between `enter` and `leave` the stream that
    is computed comes after the predictions. N = streams."""

    title: ClassVar[str] = "AltUp, alternating updates"
    kind: Literal["altup"]
    streams: Streams = 4
    active: int = Field(0, ge=0, le=15, description="The stream that is computed")
    at: Literal["enter", "inside", "leave", "others"] = Field(
        "others",
        description="enter: predict first; leave: correct at the end; inside: between them; others: read the active "
        "stream, write to all but the first",
    )
    total: Annotated[float, Field(gt=0, le=1e3)] = Field(1.0, description="Factor on the sum in `enter`")
    scaled: bool = Field(True, description="`others` reads the active stream multiplied by a learned scale")
    norm_eps: Eps = Field(1e-6, description="Epsilon of the norm before the router of the streams")

    @model_validator(mode="after")
    def _consistent(self):
        if self.active >= self.streams:
            raise ValueError(f"active: there are {self.streams} streams; give 0 to {self.streams - 1}")
        return self

    def check_block(self, steps: Sequence[_Residual], delayed: bool) -> None:
        if delayed:
            raise ValueError("shortcut, aside: alternating updates have neither; remove them")
        order = [getattr(step, "at", "") for step in steps]
        first, last = ((order.index(word) if word in order else -1) for word in ("enter", "leave"))
        wanted = ["enter", *["inside"] * (last - first - 1), "leave"] if last > first >= 0 else []
        if order != wanted + ["others"] * (len(order) - len(wanted)):
            raise ValueError("residual.at: give enter, any number of inside, and leave, then others; or others alone")
        if len({(step.streams, getattr(step, "active", None)) for step in steps}) > 1:
            raise ValueError("residual: give all steps of a layer the same streams and the same active one")

    def split(self, d_model: int) -> nn.Module:
        return AltUpSplit(self.streams, d_model)

    def merge(self, d_model: int) -> nn.Module:
        return AltUpMerge(self.streams, d_model)

    def build(self, d_model: int, index: int) -> tuple[nn.Module, nn.Module]:
        match self.at:
            case "enter":
                return Predict(self, d_model), WriteActive(self)
            case "inside":
                return ReadActive(self, d_model), WriteActive(self)
            case "leave":
                return ReadActive(self, d_model), Correct(self, d_model)
        return ReadActive(self, d_model), WriteOthers(self)

    def checklist(self) -> Iterator[str]:
        yield from super().checklist()
        yield (
            f"AltUp: before a layer, all {self.streams} streams are predicted from one another; after it, each is corrected by the "
            f"prediction error of stream {self.active}, the result minus the prediction."
        )
        yield "Predictions and corrections are weighted by tanh of a router's output; the router divides by d_model after its norm."
        yield "The other streams begin as projections of the embedding, rescaled to its size; at the end they are projected back."


class Router(nn.Module):
    """tanh(W norm(x) / d_model): the weights of a token's streams."""

    def __init__(self, residual: AltUp, d_model: int):
        super().__init__()
        self.eps = residual.norm_eps
        self.norm = nn.Parameter(torch.ones(d_model))
        self.weight = normal(residual.streams, d_model)

    def weigh(self, x: Tensor) -> Tensor:  # (B, T, d_model) -> (B, T, N)
        x = F.rms_norm(x, x.shape[-1:], self.norm, self.eps) / x.shape[-1]
        return torch.tanh(F.linear(x, self.weight).float()).to(x.dtype)


class Predict(Sharing):
    """p_i = s_i + sum over j of c_ij s_j, with coefficients computed from the token."""

    box = "read"
    label = "Predict streams"
    explain = "Each stream is predicted from all of them; the layer computes the active one."

    def __init__(self, residual: AltUp, d_model: int):
        super().__init__()
        self.residual, n = residual, residual.streams
        self.router = Router(residual, d_model)
        self.coefficients = Linear(n, n * n)
        self.token_flops = 2 * (d_model * n + n**3 + d_model * n * n)

    def share(self, shared: dict[str, Any]) -> None:
        shared["router"] = self.router

    def forward(self, stream: Tensor) -> tuple[Tensor, Tensor]:  # (B, T, N, d_model) -> (B, T, d_model), as it was
        active = self.residual.active
        weights = self.coefficients(self.router.weigh(stream[:, :, active])).unflatten(-1, (self.residual.streams, -1))
        predicted = stream + weights @ stream  # (B, T, N, N) @ (B, T, N, d_model)
        return predicted[:, :, active], predicted

    def outline(self, stream: Tensor) -> tuple[Tensor, Tensor]:
        return stream.new_empty(*stream.shape[:2], stream.shape[-1]), stream.new_empty(stream.shape)


class ReadActive(Box):
    """The active one of several streams."""

    box = "read"
    label = "Active stream"
    explain = "The stream that the layer computes."

    def __init__(self, residual: AltUp, d_model: int):
        super().__init__()
        self.residual = residual
        self.index = residual.active if residual.at == "others" else -1
        self.scale = nn.Parameter(torch.ones(d_model)) if residual.at == "others" else None  # also where it is not used

    def forward(self, stream: Tensor) -> tuple[Tensor]:  # (B, T, N or N + 1, d_model) -> (B, T, d_model)
        x = stream[:, :, self.index]
        return (x if self.scale is None or not self.residual.scaled else x * self.scale,)


class WriteActive(Box):
    """The predictions, then the active stream with the part's output."""

    box = "add"
    label = "+"
    explain = "The part's output is added to the stream that is computed; the predictions stay unchanged."

    def __init__(self, residual: AltUp):
        super().__init__()
        self.residual = residual

    def forward(self, stream: Tensor, update: Tensor, predicted: Tensor | None = None) -> Tensor:
        """(B, T, N, d_model) and its prediction, or (B, T, N + 1, d_model) -> (B, T, N + 1, d_model)."""
        spec = self.residual
        waiting = stream[:, :, : spec.streams] if predicted is None else predicted
        x = stream[:, :, -1] if predicted is None else predicted[:, :, spec.active]
        x = (x + spec.scale * update) * spec.total
        return torch.cat((waiting, x.unsqueeze(2)), dim=2)

    def outline(self, stream: Tensor, update: Tensor, predicted: Tensor | None = None) -> Tensor:
        return stream.new_empty(*stream.shape[:2], self.residual.streams + 1, stream.shape[-1])


class Correct(Sharing):
    """s_i = p_i + (1 + c_i) (x - p_active), where x is the new active stream."""

    box = "add"
    label = "Correct streams"
    explain = "Every stream is corrected by the prediction error of the active one, with its own weight."

    def __init__(self, residual: AltUp, d_model: int):
        super().__init__()
        self.residual, n = residual, residual.streams
        self.routers: tuple[Router, ...] = ()  # the prediction's router; a tuple, so that it is not registered twice
        self.coefficients = Linear(n, n)
        self.token_flops = 2 * (d_model * n + n * n)

    def share(self, shared: dict[str, Any]) -> None:
        self.routers = (shared["router"],)

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, N + 1, d_model), (B, T, d_model)
        spec = self.residual
        predicted, x = stream[:, :, :-1], stream[:, :, -1] + spec.scale * update
        surprise = x - predicted[:, :, spec.active]  # (B, T, d_model)
        weights = self.coefficients(self.routers[0].weigh(x)) + 1  # (B, T, N)
        return predicted + weights.unsqueeze(-1) * surprise.unsqueeze(2)  # (B, T, N, d_model)

    def outline(self, stream: Tensor, update: Tensor) -> Tensor:
        return stream.new_empty(*stream.shape[:2], self.residual.streams, stream.shape[-1])


class WriteOthers(Box):
    box = "add"
    keeps_shape = True
    label = "+"
    explain = "The part's output is added to all streams but the first."

    def __init__(self, residual: AltUp):
        super().__init__()
        self.scale = residual.scale

    def forward(self, stream: Tensor, update: Tensor) -> Tensor:  # (B, T, N, d_model), (B, T, d_model)
        others = stream[:, :, 1:] + self.scale * update.unsqueeze(2)
        return torch.cat((stream[:, :, :1], others), dim=2)


class _Projections(Box):
    """A projection for each stream but the first, rescaled to the size of the first one."""

    box = "read"

    def __init__(self, streams: int, d_model: int):
        super().__init__()
        self.projections = nn.ModuleList(Linear(d_model, d_model) for _ in range(streams - 1))
        self.token_flops = 2 * (streams - 1) * d_model**2

    def together(self, first: Tensor, others: list[Tensor]) -> Tensor:
        """(B, T, d_model) and N - 1 more -> (B, T, N, d_model)."""
        first, rest = first.unsqueeze(2), torch.stack(others, dim=2)
        size = first.square().mean(dim=-1, keepdim=True).sqrt()
        own = rest.square().mean(dim=-1, keepdim=True).clamp(min=1e-5).sqrt()
        return torch.cat((first, rest * size / own), dim=2)


class AltUpSplit(_Projections):
    label = "Project to streams"
    explain = "Each stream but the first begins as a projection of the embedding, rescaled to its size."

    def forward(self, x: Tensor) -> Tensor:  # (B, T, d_model) -> (B, T, N, d_model)
        return self.together(x, [projection(x) for projection in self.projections])

    def outline(self, x: Tensor) -> Tensor:
        return x.new_empty(*x.shape[:2], 1 + len(self.projections), x.shape[-1])


class AltUpMerge(_Projections):
    label = "Merge streams"
    explain = "Each stream but the first is projected back and rescaled to the size of the first; the output is the mean of all."

    def forward(self, stream: Tensor) -> Tensor:  # (B, T, N, d_model) -> (B, T, d_model)
        first, *others = stream.unbind(2)
        return self.together(first, [projection(x) for projection, x in zip(self.projections, others, strict=True)]).mean(dim=2)

    def outline(self, stream: Tensor) -> Tensor:
        return stream.new_empty(*stream.shape[:2], stream.shape[-1])
