"""How a token's experts are chosen and weighed.

Group-limited routing is DeepSeek-V2's (arXiv:2405.04434, section 2.2.2); the selection bias is auxiliary-loss-free
balancing (arXiv:2408.15664); weights over the near-best are SparseMixer-v2's (arXiv:2409.12136).
"""

from collections.abc import Iterator
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

    score: Literal["softmax", "sigmoid", "sqrt_softplus"] = Field(
        "softmax", description="What turns a logit into a score"
    )
    over: Literal["all", "chosen", "near"] = Field(
        "all",
        description="Scores of all experts, of those chosen by logit, or for each choice of those left that come near it",
    )
    near: Annotated[float, Field(gt=0, le=1)] = Field(0.02, description="How near, relative to the larger logit")
    normalise: bool = Field(False, description="The chosen scores are divided by their sum")
    scale: Positive = Field(1.0, description="The weights are multiplied by this")
    groups: Count = Field(1, description="Experts stand in this many equal groups")
    top_groups: Count = Field(1, description="A token may choose from this many groups")
    each_group: bool = Field(False, description="Every group gives as many experts, its own best (arXiv:2505.21411)")
    group_score: Literal["max", "top2"] = Field("max", description="A group is worth its best score, or its best two")
    outside_zero: bool = Field(
        False, description="Experts outside the best groups score zero, rather than never being chosen (A.X K2)"
    )
    selection_bias: bool = Field(False, description="A bias for each expert that sways the choice, not the weight")
    counted: bool = Field(
        False, description="The selection bias counts among the parameters (AFMoE, ERNIE 4.5, Laguna)"
    )
    hashed: bool = Field(
        False, description="A fixed table says each token's experts; scores only weigh them (arXiv:2106.04426)"
    )
    bias: bool = Field(False, description="A bias on the logits")
    softcap: Positive | None = Field(None, description="Logits pass through c * tanh(logit / c)")
    norm: bool = Field(
        False, description="It reads the stream over its root mean square, times a learned scale and 1 / sqrt(d_model)"
    )
    all_scale: bool = Field(False, description="All weights are multiplied by one learned number (Inkling)")
    hidden: Annotated[int, Field(ge=1, le=2_048)] | None = Field(
        None, description="It is a network: a projection to this width, a norm, two layers with GELU (ZAYA)"
    )
    carry: bool = Field(
        False, description="What the projection gave in the layer before joins it, times learned scales (ZAYA)"
    )
    expert_scale: bool = Field(False, description="Each expert's weight is multiplied by a learned number of its own")

    @model_validator(mode="after")
    def _consistent(self):
        if self.top_groups > self.groups:
            raise ValueError(
                f"top_groups: {self.top_groups} is more than the {self.groups} groups; give 1 to {self.groups}"
            )
        if self.each_group and not 1 < self.groups == self.top_groups:
            raise ValueError("each_group: a token chooses from all groups; give two or more, and as many top_groups")
        if self.carry and not self.hidden:
            raise ValueError("carry: only a router that is a network has something to carry; give hidden")
        if self.hidden and self.norm:
            raise ValueError("norm: a router that is a network has a norm of its own; give one of norm and hidden")
        if self.counted and not self.selection_bias:
            raise ValueError("counted: there is no selection bias to count")
        if self.over == "near" and self.score != "softmax":
            raise ValueError("over: a sigmoid scores each expert alone; only a softmax can be over those that are near")
        if self.hashed and (self.selection_bias or self.groups > 1 or self.over != "all"):
            raise ValueError("hashed: a table leaves no choice; give no selection bias, no groups, and scores of all")
        return self

    def checklist(self, top_k: int, choices: int, d_model: int) -> Iterator[str]:
        yield "Router logits and scores are computed in float32."
        if self.hidden:
            yield f"Router logits come from {self.hidden} channels: a norm, then two layers with biases and exact GELU."
        if self.carry:
            yield "The router adds what the layer before had in those channels, times learned scales, before the norm."
        if self.norm:
            yield f"The router reads the stream itself over its root mean square, times a learned scale and 1 / √{d_model:,}."
        if self.hashed:
            yield "Experts are looked up by the token's own number; only their weights come from the scores."
        if self.score == "sqrt_softplus":
            yield "A score is the square root of softplus of its logit."
        if self.over == "chosen" and self.score == "softmax":
            yield f"The softmax is over the {top_k} chosen logits, not over all {choices}."
        elif self.over == "chosen":
            yield f"Experts are chosen by their logits{', with the bias' if self.selection_bias else ''}; the sigmoid comes after."
        elif self.over == "near":
            yield f"A choice's weight is its softmax among those left whose logit is within {self.near:.0%}; the weights' sum is not one."
        if self.selection_bias:
            yield "The selection bias sways the choice alone; weights come from the scores without it."
        if self.each_group:
            yield f"Each of the {self.groups} groups gives its best {top_k // self.groups}, however good another group's are."
        if self.top_groups < self.groups:
            worth = "its best score" if self.group_score == "max" else "the sum of its best two scores"
            yield f"A group is worth {worth}; only the best {self.top_groups} of {self.groups} groups may be chosen from."
        if self.normalise:
            yield f"The {top_k} chosen scores are divided by their sum."
        elif self.over == "all" or self.score == "sigmoid":
            yield f"The {top_k} chosen scores are used as they are: their sum is not one."
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
            self.explain = (
                "The token's own channels, fewer of them, pass two layers before each expert's row of weights."
            )
            self.down, self.norm = Linear(d_model, hidden, bias=True), part.norm.build(hidden)
            self.first, self.second = Linear(hidden, hidden, bias=True), Linear(hidden, hidden, bias=True)
            if part.router.carry:
                self.carried, self.earlier = nn.Parameter(torch.ones(hidden)), Borrow(hidden)
        self.bias = nn.Parameter(torch.zeros(part.choices + self.scored)) if part.router.bias else None
        self.all_scale = nn.Parameter(torch.ones(1)) if part.router.all_scale else None
        self.scale = nn.Parameter(torch.ones(d_model)) if part.router.norm else None
        self.expert_scale = nn.Parameter(torch.ones(part.choices)) if part.router.expert_scale else None
        # Moved by the balancing rule rather than by a gradient, hence a buffer; some models count it nevertheless.
        if part.router.counted:
            self.selection_bias = nn.Parameter(torch.zeros(part.choices), requires_grad=False)
        else:
            self.register_buffer("selection_bias", torch.zeros(part.choices) if part.router.selection_bias else None)
        # Experts for every token, (vocab_size, K): each expert as often as any other.
        spread = torch.arange(vocab_size * part.top_k).remainder(part.choices).view(vocab_size, part.top_k)
        self.register_buffer("table", spread if part.router.hashed else None)

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> tuple[Tensor, ...]:
        """(B, T, d_model) and, where a table says the experts, (B, T) -> weights and indices of the chosen experts,
        (B, T, K) each; and the weights of shared experts that have scores, (B, T, S)."""
        part = self.part
        scores, beside = self.all_scores(x).split((part.choices, self.scored), dim=-1)
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
        """What each routed expert is worth to each token, (B, T, E), in float32."""
        return self.all_scores(x)[..., : self.part.choices]

    def all_scores(self, x: Tensor) -> Tensor:
        """The same, and what the shared experts with scores are worth after them, (B, T, E + S)."""
        r, x = self.part.router, self.layers(x) if self.part.router.hidden else x.float()
        if self.scale is not None:
            x = F.rms_norm(x, x.shape[-1:], None, self.part.norm.eps) * self.scale.float() * x.shape[-1] ** -0.5
        logits = F.linear(x, self.weight.float(), None if self.bias is None else self.bias.float())
        if r.softcap:
            logits = r.softcap * torch.tanh(logits / r.softcap)
        return self.score(logits) if r.over == "all" else logits

    def layers(self, x: Tensor) -> Tensor:
        """What the logits are read from, (B, T, hidden), where the router is a network; the next layer's may read it too."""
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
        """The scores with the selection bias, which sways the choice and never the weight."""
        return scores if self.selection_bias is None else scores + self.selection_bias.float()

    def limited(self, scores: Tensor) -> Tensor:
        """The scores with -inf outside each token's best groups, or below the best of each group."""
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

    def weigh(self, scores: Tensor, chosen: Tensor, beside: Tensor) -> Tensor:
        """What the outputs of the chosen experts and of shared ones with scores are multiplied by, (B, T, K + S)."""
        r = self.part.router
        weights = torch.cat((scores.gather(-1, chosen), beside), dim=-1)
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
        """Each choice's softmax among those left that come near it: (B, T, 1, E), (B, T, K, 1), (B, T, K) -> (B, T, K)."""
        once = F.one_hot(chosen, self.part.choices)  # (B, T, K, E)
        gone = once.cumsum(dim=-2) - once  # chosen before
        far = (best - logits) / torch.maximum(logits.abs(), best) > self.part.router.near
        return 1 / (logits - best).masked_fill(far | gone.bool(), -torch.inf).exp().sum(dim=-1)
