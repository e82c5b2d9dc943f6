"""How a token's experts are chosen and weighted.

Group-limited routing is DeepSeek-V2's (arXiv:2405.04434, section 2.2.2); the selection bias is auxiliary-loss-free
balancing (arXiv:2408.15664); weights over the near-best experts are SparseMixer-v2's (arXiv:2409.12136).
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Literal, Protocol

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Borrow, Box, Lends, Linear, Positive, Spec, normal
from .norm import PartNorm

Count = Annotated[int, Field(ge=1, le=4_096)]


class Router(Spec):
    """How a token's scores become a choice of experts and their weights."""

    score: Literal["softmax", "sigmoid", "sqrt_softplus"] = Field("softmax", description="Function from logits to scores")
    over: Literal["all", "chosen", "near"] = Field(
        "all", description="Score over all experts, the chosen ones, or for each choice the remaining near ones"
    )
    near: Annotated[float, Field(gt=0, le=1)] = Field(0.02, description="Largest distance of a near logit, relative to the larger one")
    normalise: bool = Field(False, description="Divides the chosen scores by their sum")
    scale: Positive = Field(1.0, description="Factor on the weights")
    groups: Count = Field(1, description="Equal groups of experts")
    top_groups: Count = Field(1, description="Groups that a token may choose from")
    each_group: bool = Field(False, description="Chooses the same number of experts from each group (arXiv:2505.21411)")
    group_score: Literal["max", "top2"] = Field("max", description="Score of a group: its best expert score, or the sum of its best two")
    outside_zero: bool = Field(False, description="Experts outside the best groups score zero instead of minus infinity (A.X K2)")
    selection_bias: bool = Field(False, description="Load-balancing bias per expert, which changes the choice but not the weight")
    counted: bool = Field(False, description="Counts the selection bias as parameters (AFMoE, ERNIE 4.5, Laguna)")
    hashed: bool = Field(False, description="A fixed table assigns each token's experts; scores only weight them (arXiv:2106.04426)")
    bias: bool = Field(False, description="A bias on the logits")
    softcap: Positive | None = Field(None, description="Logits pass through c * tanh(logit / c)")
    norm: bool = Field(False, description="RMSNorm on the input, with a learned scale and a factor 1 / sqrt(d_model)")
    all_scale: bool = Field(False, description="Multiplies all weights by one learned number (Inkling)")
    hidden: Annotated[int, Field(ge=1, le=2_048), "width"] | None = Field(
        None, description="Hidden size of a router with two layers; a single linear map if empty (ZAYA)"
    )
    carry: bool = Field(False, description="Adds the previous layer's hidden router input, times learned scales (ZAYA)")
    expert_scale: bool = Field(False, description="Multiplies each expert's weight by its own learned number")

    @model_validator(mode="after")
    def _consistent(self):
        if self.top_groups > self.groups:
            raise ValueError(f"top_groups: {self.top_groups} is more than the {self.groups} groups; give 1 to {self.groups}")
        if self.each_group and not 1 < self.groups == self.top_groups:
            raise ValueError("each_group: a token chooses from all groups; give groups of 2 or more, and the same top_groups")
        if self.carry and not self.hidden:
            raise ValueError("carry: needs a router with hidden layers; give hidden")
        if self.hidden and self.norm:
            raise ValueError("norm: a router with hidden layers has its own norm; give either norm or hidden")
        if self.counted and not self.selection_bias:
            raise ValueError("counted: there is no selection bias to count; set selection_bias")
        if self.over == "near" and self.score != "softmax":
            raise ValueError("over: near needs score softmax, since other scores treat each expert separately; give all or chosen")
        if self.hashed and (self.selection_bias or self.groups > 1 or self.over != "all"):
            raise ValueError("hashed: a table leaves no choice; remove selection_bias and groups, and give over: all")
        return self

    def traits(self) -> Iterator[str]:
        if self.hashed:
            yield "by a table"
        elif self.selection_bias:
            yield "balancing bias"

    def checklist(self, top_k: int, choices: int, d_model: int) -> Iterator[str]:
        yield "Router logits and scores are computed in float32."
        if self.hidden:
            yield f"Router logits come from {self.hidden} channels: a norm, then two layers with biases and exact GELU."
        if self.carry:
            yield "The router adds the previous layer's values of those channels, times learned scales, before the norm."
        if self.norm:
            yield f"The router reads the stream divided by its root mean square, times a learned scale and 1 / √{d_model:,}."
        if self.hashed:
            yield "Experts are looked up by the token's id; only their weights come from the scores."
        if self.score == "sqrt_softplus":
            yield "A score is the square root of the softplus of its logit."
        if self.over == "chosen" and self.score == "softmax":
            yield f"The softmax is over the {top_k} chosen logits, not over all {choices}."
        elif self.over == "chosen":
            yield f"Experts are chosen by their logits{', with the bias' if self.selection_bias else ''}; the sigmoid comes after."
        elif self.over == "near":
            yield f"A choice's weight is its softmax over the remaining experts with a logit within {self.near:.0%}; the sum is not one."
        if self.selection_bias:
            yield "The selection bias changes only the choice; weights come from the scores without it."
        if self.each_group:
            yield f"Each of the {self.groups} groups gives its best {top_k // self.groups} experts, even if other groups have better ones."
        if self.top_groups < self.groups:
            worth = "its best score" if self.group_score == "max" else "the sum of its best two scores"
            yield f"The score of a group is {worth}; a token may choose only from the best {self.top_groups} of {self.groups} groups."
        if self.normalise:
            yield f"The {top_k} chosen scores are divided by their sum."
        elif self.over == "all" or self.score == "sigmoid":
            yield f"The {top_k} chosen scores are not normalised: their sum is not one."
        if self.scale != 1:
            yield f"The weights are then multiplied by {self.scale:g}."
        if self.expert_scale:
            yield "Each chosen weight is then multiplied by its expert's own learned number."
        if self.all_scale:
            yield "All weights are then multiplied by one learned number."


class Routed(Protocol):
    """What a router must know of the part it stands in."""

    @property
    def router(self) -> Router: ...

    @property
    def choices(self) -> int: ...

    @property
    def top_k(self) -> int: ...

    @property
    def norm(self) -> PartNorm: ...


class RouterModule(Lends, Box):
    """A score of each expert for each token; the experts with the best scores, and their weights."""

    box = "router"
    label = "Router"
    explain = "One row of weights for each expert: its product with the token is the expert's logit."

    selection_bias: Tensor | None
    table: Tensor | None

    def __init__(self, part: Routed, d_model: int, scored: int = 0, vocab_size: int = 0):
        """`scored` shared experts have a row too; `vocab_size` rows has the table of a hashed router."""
        super().__init__()
        self.part, self.scored = part, scored
        hidden = part.router.hidden
        self.weight = normal(part.choices + self.scored, hidden or d_model)
        if hidden:
            self.explain = "The token is projected to fewer channels and passes two layers before each expert's row of weights."
            self.down, self.norm = Linear(d_model, hidden, bias=True), part.norm.build(hidden)
            self.first, self.second = Linear(hidden, hidden, bias=True), Linear(hidden, hidden, bias=True)
            if part.router.carry:
                self.carried, self.earlier = nn.Parameter(torch.ones(hidden)), Borrow(hidden)
        self.bias = nn.Parameter(torch.zeros(part.choices + self.scored)) if part.router.bias else None
        self.all_scale = nn.Parameter(torch.ones(1)) if part.router.all_scale else None
        self.scale = nn.Parameter(torch.ones(d_model)) if part.router.norm else None
        self.expert_scale = nn.Parameter(torch.ones(part.choices)) if part.router.expert_scale else None
        # The balancing rule changes it, not a gradient, so it is a buffer; some models count it as a parameter.
        if part.router.counted:
            self.selection_bias = nn.Parameter(torch.zeros(part.choices), requires_grad=False)
        else:
            self.register_buffer("selection_bias", torch.zeros(part.choices) if part.router.selection_bias else None)
        self.register_buffer("table", self.spread(vocab_size) if part.router.hashed else None)

    def read_share(self, tensor: str) -> Fraction | None:
        return Fraction(1, len(self.table)) if tensor == "table" and self.table is not None else None

    def spread(self, vocab_size: int) -> Tensor:
        """Experts for every token, (vocab_size, K): each expert as often as any other."""
        part = self.part
        return torch.arange(vocab_size * part.top_k).remainder(part.choices).view(vocab_size, part.top_k)

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> tuple[Tensor, ...]:
        """(B, T, d_model) -> weights and indices of the chosen experts, (B, T, K) each.

        A table that assigns the experts reads the tokens, (B, T). Shared experts that have scores have weights too, (B, T, S).
        """
        part = self.part
        scores, beside = self.all_scores(x), None
        if self.scored:
            scores, beside = scores.split((part.choices, self.scored), dim=-1)
        chosen = self.choose(self.limited(self.biased(scores))) if self.table is None else self.table[tokens]
        weights = self.weigh(scores, chosen, beside).to(x.dtype)
        if not self.scored:
            return weights, chosen
        weights, shares = weights.split((part.top_k, self.scored), dim=-1)
        return weights, chosen, shares

    def outline(self, x: Tensor, tokens: Tensor | None = None) -> tuple[Tensor, ...]:
        shape = (*x.shape[:2], self.part.top_k)
        shares = (x.new_empty(*x.shape[:2], self.scored),) if self.scored else ()
        return x.new_empty(shape), x.new_empty(shape, dtype=torch.long), *shares

    def scores(self, x: Tensor) -> Tensor:
        """The score of each routed expert for each token, (B, T, E), in float32."""
        return self.all_scores(x)[..., : self.part.choices]

    def all_scores(self, x: Tensor) -> Tensor:
        """The same, then the scores of the shared experts that have one, (B, T, E + S)."""
        r, x = self.part.router, self.layers(x) if self.part.router.hidden else x.float()
        if self.scale is not None:
            x = F.rms_norm(x, x.shape[-1:], None, self.part.norm.eps) * self.scale.float() * x.shape[-1] ** -0.5
        logits = F.linear(x, self.weight.float(), None if self.bias is None else self.bias.float())
        if r.softcap:
            logits = r.softcap * torch.tanh(logits / r.softcap)
        return self.score(logits) if r.over == "all" else logits

    def layers(self, x: Tensor) -> Tensor:
        """The input of the logits, (B, T, hidden)."""
        x = self.down(x)
        if self.part.router.carry:
            x = x + self.earlier(x) * self.carried
        x = self.lend(x)
        return F.gelu(self.second(F.gelu(self.first(self.norm(x))))).float()

    def score(self, logits: Tensor) -> Tensor:
        match self.part.router.score:
            case "softmax":
                return logits.softmax(dim=-1)
            case "sigmoid":
                return logits.sigmoid()
            case "sqrt_softplus":
                return F.softplus(logits).sqrt()

    def biased(self, scores: Tensor) -> Tensor:
        """The scores plus the selection bias, which changes the choice but not the weight."""
        return scores if self.selection_bias is None else scores + self.selection_bias.float()

    def limited(self, scores: Tensor) -> Tensor:
        """The scores without those outside each token's best groups.

        Or without those below the best of each group.
        """
        r = self.part.router
        if r.top_groups == r.groups and not r.each_group:
            return scores
        grouped = scores.unflatten(-1, (r.groups, -1))  # (B, T, groups, E / groups)
        if r.each_group:
            best = grouped.topk(self.part.top_k // r.groups, dim=-1).indices  # (B, T, groups, K / groups)
            allowed = torch.zeros_like(grouped, dtype=torch.bool).scatter(-1, best, True)
            return grouped.masked_fill(~allowed, -torch.inf).flatten(-2)
        worth = grouped.amax(dim=-1) if r.group_score == "max" else grouped.topk(2, dim=-1).values.sum(dim=-1)
        best = worth.topk(r.top_groups, dim=-1).indices  # (B, T, top_groups)
        allowed = torch.zeros_like(worth, dtype=torch.bool).scatter(-1, best, True)
        return grouped.masked_fill(~allowed.unsqueeze(-1), 0.0 if r.outside_zero else -torch.inf).flatten(-2)

    def choose(self, scores: Tensor) -> Tensor:
        """The best experts by these scores, (B, T, K), best first."""
        return scores.topk(self.part.top_k, dim=-1).indices

    def weigh(self, scores: Tensor, chosen: Tensor, beside: Tensor | None = None) -> Tensor:
        """The weights of the chosen experts, (B, T, K).

        Those of shared experts with scores `beside` follow.
        """
        r = self.part.router
        weights = scores.gather(-1, chosen)  # (B, T, K)
        if beside is not None:
            weights = torch.cat((weights, beside), dim=-1)  # (B, T, K + S)
        if r.over == "chosen":
            weights = self.score(weights)
        elif r.over == "near":
            weights = self.among_near(scores.unsqueeze(-2), weights.unsqueeze(-1), chosen)
        if r.normalise:
            weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
        weights = weights if self.expert_scale is None else weights * self.expert_scale[chosen]
        weights = weights if self.all_scale is None else weights * self.all_scale
        return weights * r.scale

    def among_near(self, logits: Tensor, best: Tensor, chosen: Tensor) -> Tensor:
        """Each choice's softmax over the remaining experts that are near it: (B, T, 1, E), (B, T, K, 1), (B, T, K) -> (B, T, K)."""
        once = F.one_hot(chosen, self.part.choices)  # (B, T, K, E)
        gone = once.cumsum(dim=-2) - once  # chosen before
        far = (best - logits) / torch.maximum(logits.abs(), best) > self.part.router.near
        return 1 / (logits - best).masked_fill(far | gone.bool(), -torch.inf).exp().sum(dim=-1)
