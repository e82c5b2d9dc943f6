"""Mixture of experts (arXiv:1701.06538): a router sends each token to a few of many feed-forward networks.

Fine-grained and shared experts are DeepSeekMoE's (arXiv:2401.06066); zero-computation experts are LongCat-Flash's
(arXiv:2509.01322, section 2.1.1). How a router chooses is in router.py.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import (
    OF_MODEL,
    Also,
    Box,
    Flops,
    Inherited,
    Linear,
    Part,
    Positive,
    Read,
    Shape,
    Spec,
    Trait,
    Vocabulary,
    Width,
    check_groups,
    normal,
    scaled,
)
from .feedforward import NAMES, Activated, Activation, FeedForward, FeedForwardModule, feed_forward_flops
from .norm import PartNorm, check_plain
from .router import Count, Router, RouterModule


class Shared(Spec):
    """A feed-forward network that every token passes, in addition to its routed experts."""

    d_ff: Width = Field(description="Hidden size; several shared experts form one network of their summed width", examples=[1024])
    count: Annotated[Count, Also(("shared experts",))] = Field(1, description="Shared experts that this width holds")
    gate: Annotated[bool, Trait("shared gate")] = Field(False, description="Multiplies its output by a sigmoid gate (Qwen 2)")
    scored: bool = Field(False, description="The router also scores and weights each shared expert (Inkling)")
    bias: bool = Field(False, description="Biases in it, independent of the routed experts")
    limited: bool = Field(True, description="The routed experts' limit also applies here (not in Hy4)")
    average: bool = Field(False, description="Averaged with the output of the routed experts, not added (Command A+)")
    activation: Activation | None = Field(None, description="Its activation; the routed experts' if empty")
    clamp: Positive | None = Field(None, description="Its clamp; the routed experts' if empty (Step 3.5)")


class Experts(Activated, Part):
    """`top_k` of `count` experts for each token, each a feed-forward network of width `d_ff`. E = count, K = top_k."""

    title = "Mixture of experts"
    line = "a router picks a few of many networks per token"
    also = ("MoE",)
    called = "moe"
    role = "experts"
    components = {
        "router": ("router", "router"),
        "shared": ("shared", "shared expert"),
        "experts": ("experts", "routed experts"),
        "enter": ("experts", "projection to the experts"),
        "leave": ("experts", "projection from the experts"),
    }

    kind: Literal["experts"]
    count: Annotated[Count, Also(("experts", "routed experts"))] = Field(description="Routed experts", examples=[8])
    top_k: Annotated[Count, Also(("top", "top experts", "active experts", "experts per token"))] = Field(
        description="Routed experts per token", examples=[2]
    )
    d_ff: Width = Field(description="Hidden size of one expert", examples=[1024])
    zero: Annotated[int, Field(ge=0, le=4_096)] = Field(
        0, description="Zero-computation experts, which return their input; a token may choose them too"
    )
    skip: bool = Field(False, description="Zero-computation experts output zero instead (ZAYA)")
    bias: Annotated[bool, Trait("bias")] = Field(False, description="Biases in every expert")
    out_bias: bool = Field(False, description="A bias on the sum of the routed experts (JetMoE)")
    router: Router = Field(Router(), description="How experts are chosen and weighted")
    shared: Shared | None = Field(None, description="A feed-forward network that every token passes")
    weigh: Literal["after", "before"] = Field("after", description="Routing weights multiply an expert's output, or its input (Llama 4)")
    latent: Width | None = Field(
        None, description="Routed experts work on a projection of the stream to this many channels (Nemotron 3 Super)"
    )
    latent_norm: bool = Field(False, description="A norm on the routed experts' sum, before its projection back (Kimi K3)")
    branch_norms: bool = Field(False, description="Routed experts and shared network each have an input and an output norm (Gemma 4)")
    vocab_size: Annotated[Inherited[Vocabulary], Field(description="Rows of a hashed router's table; the model's vocabulary if empty")] = (
        OF_MODEL
    )
    norm: Inherited[PartNorm] = OF_MODEL

    @model_validator(mode="after")
    def _consistent(self):
        r = self.router
        if self.activation == "xielu":
            raise ValueError("activation: xielu has learned slopes per layer, which experts do not support; give another activation")
        if self.latent_norm and not self.latent:
            raise ValueError("latent_norm: the experts work on the stream itself; give latent")
        if inside := [name for name, on in (("branch_norms", self.branch_norms), ("latent_norm", self.latent_norm)) if on]:
            check_plain(inside[0], self.norm)
        elif r.hidden:
            check_plain("router.hidden", self.norm)
        if self.shared and self.scored and (r.over != "all" or r.expert_scale or self.shared.d_ff % self.scored):
            raise ValueError("shared.scored: give a d_ff that its count divides, router.over all, and no router.expert_scale")
        if self.skip and not self.zero:
            raise ValueError("skip: there are no zero-computation experts; give zero")
        if self.zero and self.latent:
            raise ValueError("zero: experts that return their input need the full stream; remove latent")
        if self.top_k > self.choices:
            raise ValueError(f"top_k: {self.top_k} is more than the {self.choices} experts; give 1 to {self.choices}")
        check_groups("router.groups", self.choices, "experts", r.groups)
        within = self.choices // r.groups * r.top_groups
        if self.top_k > within:
            raise ValueError(
                f"top_k: {self.top_k} is more than the {within} experts of the {r.top_groups} groups that a token may choose from; "
                f"give 1 to {within}"
            )
        if r.each_group and self.top_k % r.groups:
            raise ValueError(f"top_k: {self.top_k} experts cannot be split evenly over {r.groups} groups; give a multiple of {r.groups}")
        if r.groups > 1 and r.group_score == "top2" and self.choices // r.groups < 2:
            raise ValueError("router.group_score: groups of one expert have no best two; give max")
        return self

    def reads(self, d_model: int) -> tuple[Read, ...]:
        tokens = (Read("tokens", "tokens"),) if self.router.hashed else ()
        earlier = Read("router.earlier", "previous", (self.router.hidden or 0,), "router", "router.carry")
        return (*tokens, earlier) if self.router.carry else tokens

    def lends(self, d_model: int) -> dict[str, Shape]:
        return {"router": (self.router.hidden,)} if self.router.hidden else {}

    @property
    def scored(self) -> int:
        """Shared experts that the router scores."""
        return self.shared.count if self.shared and self.shared.scored else 0

    @property
    def choices(self) -> int:
        """Experts that a token may be sent to, with and without weights."""
        return self.count + self.zero

    @property
    def active(self) -> int:
        """How many of a token's experts have weights: the average if all are chosen equally often, and at least one."""
        return max(1, round(self.top_k * self.count / self.choices))

    @property
    def brief(self) -> str:
        return f"{self.count:,} experts ({self.top_k:,} per token" + (f", {self.shared.count:,} shared)" if self.shared else ")")

    def expert_parameters(self, d_model: int) -> int:
        """Parameters of one routed expert."""
        width = self.latent or d_model
        biases = (self.matrices - 1) * self.d_ff + width if self.bias else 0
        return self.matrices * width * self.d_ff + biases

    def alike(self, d_model: int) -> dict[str, tuple[Part, int]]:
        own = {name: getattr(self, name) for name in Activated.model_fields}
        return {"experts": (FeedForward(kind="feed_forward", d_ff=self.d_ff, bias=self.bias, **own), self.latent or d_model)}

    @property
    def beside_all(self) -> "Experts":
        """The part with the shared network's own activation."""
        if not self.shared:
            return self
        own = {key: value for key in ("activation", "clamp") if (value := getattr(self.shared, key)) is not None}
        own |= {"limit": None} if self.limit and not self.shared.limited else {}
        return self.model_copy(update=own) if own else self

    def build(self, d_model: int) -> nn.Module:
        return ExpertsModule(self, d_model)

    def flops(self, d_model: int, new: int, past: int) -> Flops:
        hidden = self.router.hidden
        flops = Flops(router=2 * new * (hidden or d_model) * (self.choices + self.scored))
        if hidden:
            flops["router"] += 2 * new * hidden * (d_model + 2 * hidden)
        flops["experts"] = feed_forward_flops(self, self.latent or d_model, self.d_ff, new * self.active).total
        if self.latent:
            flops |= dict.fromkeys(("enter", "leave"), 2 * new * d_model * self.latent)
        if self.shared:
            flops |= feed_forward_flops(self.beside_all, d_model, self.shared.d_ff, new).under("shared")
            if self.shared.gate:
                flops["shared_gate"] = 2 * new * d_model
        return Flops(flops)

    def shrink(self, scale: float) -> Self:
        equal = 8 * max(1, self.scored)  # a width that divides into this many experts
        shared = self.shared and self.shared.model_copy(update={"d_ff": scaled(self.shared.d_ff, scale, multiple=equal)})
        latent = self.latent and scaled(self.latent, scale)
        small = {"d_ff": scaled(self.d_ff, scale), "shared": shared, "latent": latent, "vocab_size": None}
        return self.model_copy(update=small)

    def quantities(self, d_model: int) -> Iterator[tuple[str, ...]]:
        yield f"{self.d_ff:,} hidden", "width of each expert"

    def facts(self):
        beside = f", {self.zero:,} zero" if self.zero else ""
        yield f"{self.top_k} of {self.choices}{beside}" + (f" + {self.shared.count} shared" if self.shared else "")

    def explain(self, d_model: int) -> str:
        r = self.router
        best = f"the {self.top_k} listed for it in a fixed table" if r.hashed else f"the best {self.top_k}"
        words = (
            f"A router scores {self.count} feed-forward networks for each token ({r.score}) and sends it to {best}. Each is "
            f"{NAMES[self.activation]} of width {self.d_ff:,}, {self.expert_parameters(d_model):,} parameters. "
        )
        if self.zero:
            words += (
                f"{self.zero} more have no weights and return their input, so easy tokens cost less. If all are chosen equally often, "
                f"{self.active} of a token's {self.top_k} have weights, and these are counted as active. "
            )
        if self.latent:
            words += f"They work on a projection of the stream to {self.latent:,} channels. "
        if r.each_group:
            words += f"They form {r.groups} groups, and a token uses {self.top_k // r.groups} of each: all groups have equal load. "
        elif r.groups > 1:
            words += f"A token may choose only from the best {r.top_groups} of {r.groups} groups. "
        if self.shared:
            words += f"A shared network of width {self.shared.d_ff:,} sees every token. "
        if r.selection_bias:
            words += "A bias on the choice, higher for idle experts and lower for busy ones, balances the load without an auxiliary loss. "
        return words.strip()

    def checklist(self, d_model: int) -> Iterator[str]:
        yield from self.router.checklist(self.top_k, self.choices, d_model)
        if self.skip:
            yield "The output is zero for a zero-computation expert."
        elif self.zero:
            yield f"Experts {self.count} to {self.choices - 1} return their input, multiplied by their routing weight like all outputs."
        if self.weigh == "before":
            yield "A routing weight multiplies the input of an expert, not its output."
        if self.shared and self.shared.gate:
            yield "The shared network's output is multiplied by a sigmoid of the input."
        if self.shared and self.beside_all is not self:
            yield f"The shared network has another activation: {NAMES[self.beside_all.activation]}."
            yield from self.beside_all.notes()
        if self.latent_norm:
            yield f"The routed experts' sum is normalised over its {self.latent:,} channels before the projection back."
        if self.branch_norms:
            yield "The routed experts and the shared network each have a norm on the input and another on the output; then they are summed."
        if self.scored:
            yield f"The {self.scored} shared experts' scores are normalised together with the others; each weights its own expert."
        if self.shared and self.shared.average:
            yield "The sum of the outputs of the shared network and the routed experts is halved."
        yield from self.notes()


class ExpertsModule(nn.Module):
    experts_norm: Box  # these four with branch_norms
    experts_post_norm: Box
    shared_norm: Box
    shared_post_norm: Box

    def __init__(self, part: Experts, d_model: int):
        super().__init__()
        self.part = part
        self.router = RouterModule(part, d_model, part.scored, part.vocab_size if part.router.hashed else 0)
        self.enter = Linear(d_model, part.latent) if part.latent else None
        self.experts = StackedExperts(part, part.latent or d_model)
        self.leave_norm = part.norm.build(part.latent) if part.latent and part.latent_norm else None
        self.leave = Linear(part.latent, d_model) if part.latent else None
        if part.shared:
            self.shared = FeedForwardModule(part.beside_all, d_model, part.shared.d_ff, bias=part.shared.bias)
            self.shared_gate = Linear(d_model, 1) if part.shared.gate else None
        for branch in ("experts", "shared") if part.branch_norms else ():
            if branch == "experts" or part.shared:
                self.add_module(f"{branch}_norm", part.norm.build(d_model))
                self.add_module(f"{branch}_post_norm", part.norm.build(d_model))

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """(B, T, d_model) -> (B, T, d_model).

        A router that is a table reads the tokens, (B, T).
        """
        weights, chosen, *shares = self.router(x, tokens)  # (B, T, K) each
        h = self.experts_norm(x) if self.part.branch_norms else x
        y = self.experts(self.enter(h) if self.enter else h, weights, chosen)
        y = y if self.leave_norm is None else self.leave_norm(y)
        y = self.leave(y) if self.leave else y
        y = self.experts_post_norm(y) if self.part.branch_norms else y
        if self.part.shared:
            shared = self.shared(self.shared_norm(x) if self.part.branch_norms else x, *shares)
            shared = self.shared_post_norm(shared) if self.part.branch_norms else shared
            y = y + (shared if self.shared_gate is None else torch.sigmoid(self.shared_gate(x)) * shared)
            y = y / 2 if self.part.shared.average else y
        return y


class StackedExperts(Box):
    """All experts' matrices as one tensor per projection, (E, out, in).

    So the time to build them does not grow with their number.
    """

    box = "experts"
    keeps_shape = True
    label = "Routed experts"
    explain = "Each token passes its chosen experts; their outputs are summed with the router's weights."

    def __init__(self, part: Experts, d_model: int):
        super().__init__()
        self.part, self.idle = part, (part.count - part.active) * part.expert_parameters(d_model)
        # What one token's experts write on the way: every projection, and what the activation makes of them.
        self.scratch = part.active * (part.matrices * part.d_ff + d_model)
        e, f = part.count, part.d_ff
        if part.gated:
            self.gate = normal(e, f, d_model)
            self.gate_bias = nn.Parameter(torch.zeros(e, f)) if part.bias else None
        self.up = normal(e, f, d_model)
        self.up_bias = nn.Parameter(torch.zeros(e, f)) if part.bias else None
        self.down = normal(e, d_model, f)
        self.down_bias = nn.Parameter(torch.zeros(e, d_model)) if part.bias else None
        self.out_bias = nn.Parameter(torch.zeros(d_model)) if part.out_bias else None

    def read_share(self, tensor: str) -> Fraction | None:
        return None if tensor == "out_bias" else Fraction(self.part.active, self.part.count)

    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """(B, T, d_model), (B, T, K), (B, T, K) -> the weighted sum of the chosen experts' outputs, (B, T, d_model)."""
        k = self.part.top_k
        order = chosen.flatten().argsort()  # (B T K,): slots, expert by expert
        expert = chosen.flatten()[order]
        weight = weights.flatten()[order].unsqueeze(-1)
        slots = x.flatten(0, 1)[order // k]  # (B T K, d_model)
        slots = slots * weight if self.part.weigh == "before" else slots
        if self.part.zero:  # the last experts return their input
            slots, same = slots.tensor_split((self.filled(expert),))
            expert = expert[: len(slots)]
        gate = expert_linear(slots, self.gate, self.gate_bias, expert) if self.part.gated else None
        y = self.part.activate(expert_linear(slots, self.up, self.up_bias, expert), gate)  # (B T K, d_ff)
        y = expert_linear(y, self.down, self.down_bias, expert)  # (B T K, d_model)
        if self.part.zero:
            y = torch.cat((y, torch.zeros_like(same) if self.part.skip else same))
        #: y_t = Σ_i g_it E_i(x_t) over the chosen experts i
        y = y * weight if self.part.weigh == "after" else y
        y = torch.zeros_like(x).flatten(0, 1).index_add(0, order // k, y).view_as(x)
        return y if self.out_bias is None else y + self.out_bias

    def filled(self, expert: Tensor) -> int:
        """How many slots, sorted by expert, go to experts with weights; on meta, where there are no values, the active ones."""
        if expert.is_meta:
            return len(expert) // self.part.top_k * self.part.active
        return int((expert < self.part.count).sum())


def expert_linear(x: Tensor, matrix: Tensor, bias: Tensor | None, expert: Tensor) -> Tensor:
    """Each row through its own expert's matrix: (N, in), (E, out, in), (E, out), (N,) -> (N, out)."""
    y = grouped_linear(x, matrix, expert)
    return y if bias is None else y + bias[expert]


def grouped_linear(x: Tensor, matrix: Tensor, expert: Tensor) -> Tensor:
    """x[i] @ matrix[expert[i]].T for rows sorted by expert: (N, in), (E, out, in), (N,) -> (N, out)."""
    if x.is_meta:  # without values, the matrix of any expert gives the shape and the FLOPs
        return x @ matrix[0].mT
    ends = torch.bincount(expert, minlength=len(matrix)).cumsum(0)
    # grouped_mm needs rows of a multiple of 16 bytes and has no float64;
    # torch.compile knows it in bfloat16 alone.
    unknown = x.dtype == torch.float64 or (torch.compiler.is_compiling() and x.dtype != torch.bfloat16)
    if unknown or not len(x) or any(width % 8 for width in matrix.shape[1:]):
        rows = x.tensor_split(ends[:-1].cpu())
        return torch.cat([part @ m.mT for part, m in zip(rows, matrix, strict=True)])
    return F.grouped_mm(x, matrix.mT, offs=ends.int())
