"""Mixture of experts (arXiv:1701.06538): a router sends each token to a few of many feed-forward networks.

Fine-grained and shared experts are DeepSeekMoE's (arXiv:2401.06066); group-limited routing DeepSeek-V2's
(arXiv:2405.04434, section 2.2.2); the selection bias is auxiliary-loss-free balancing (arXiv:2408.15664); weights over
the near-best are SparseMixer-v2's (arXiv:2409.12136); zero-computation experts are LongCat-Flash's (arXiv:2509.01322,
section 2.1.1).
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Flops, Linear, Part, Positive, Spec, Width, normal, scaled
from .feedforward import NAMES, Activated, Activation, FeedForwardModule, feed_forward_flops
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


class Shared(Spec):
    """A feed-forward network that every token passes, beside those it is sent to."""

    d_ff: Width = Field(
        description="Its width; several shared experts are one network of their summed width", examples=[1024]
    )
    count: Count = Field(1, description="How many experts that width stands for")
    gate: bool = Field(False, description="Its output is multiplied by a sigmoid of the input (Qwen 2)")
    scored: bool = Field(
        False, description="The router scores each shared expert too, and its score counts beside the chosen (Inkling)"
    )
    bias: bool = Field(False, description="Biases in it, whether or not the routed experts have some")
    limited: bool = Field(True, description="The routed experts' limit holds in it too (not in Hy4)")
    average: bool = Field(False, description="Averaged with what the routed experts give, not added (Command A+)")
    activation: Activation | None = Field(None, description="Where it differs from the routed experts'")
    clamp: Positive | None = Field(None, description="Where it differs from the routed experts' (Step 3.5)")


class Experts(Activated, Part):
    """`top_k` of `count` experts for each token, each a feed-forward network of width `d_ff`. E = count, K = top_k."""

    title = "Mixture of experts"
    role = "experts"
    components = {
        "router": ("router", "router"),
        "shared": ("shared", "shared expert"),
        "experts": ("experts", "routed experts"),
        "enter": ("experts", "projection to the experts"),
        "leave": ("experts", "projection from the experts"),
    }

    kind: Literal["experts"]
    count: Count = Field(description="Routed experts", examples=[8])
    top_k: Count = Field(description="Experts that each token is sent to", examples=[2])
    d_ff: Width = Field(description="Width of one expert", examples=[1024])
    zero: Annotated[int, Field(ge=0, le=4_096)] = Field(
        0, description="Further experts without weights, which give back what they read: a token may choose them too"
    )
    skip: bool = Field(False, description="The experts without weights give nothing (ZAYA)")
    bias: bool = Field(False, description="Biases in every expert")
    out_bias: bool = Field(False, description="A bias on what the routed experts give together (JetMoE)")
    router: Router = Field(Router(), description="How experts are chosen and weighed")
    shared: Shared | None = Field(None, description="A network that every token passes as well")
    weigh: Literal["after", "before"] = Field(
        "after", description="Weights multiply an expert's output, or its input (Llama 4)"
    )
    latent: Width | None = Field(
        None, description="Routed experts work on a projection of the stream to this width (Nemotron 3 Super)"
    )
    branch_norms: bool = Field(
        False, description="Routed experts and the shared network each have norms on what they read and give (Gemma 4)"
    )
    vocab_size: Annotated[int, Field(ge=1, le=16_777_216)] | None = Field(
        None, description="Rows of a hashed router's table; the model's vocabulary unless given"
    )
    norm: PartNorm | None = Field(None, description="Where it differs from the model's")

    @model_validator(mode="after")
    def _consistent(self):
        r = self.router
        if self.activation == "xielu":
            raise ValueError("activation: xielu learns its slopes layer by layer, which experts do not; choose another")
        if self.branch_norms and self.norm and self.norm.kind == "self_gated_rms":
            raise ValueError("branch_norms: give the experts' branches a norm without a gate")
        if self.scored and (r.over != "all" or r.expert_scale or self.shared.d_ff % self.scored):
            raise ValueError(
                "shared.scored: the shared experts are of equal width, and all experts' scores are compared"
            )
        if self.skip and not self.zero:
            raise ValueError("skip: there are no experts without weights; give zero")
        if self.zero and self.latent:
            raise ValueError("zero: experts that give back what they read work on the stream; give no latent")
        if self.top_k > self.choices:
            raise ValueError(f"top_k: {self.top_k} is more than the {self.choices} experts; give 1 to {self.choices}")
        if self.choices % r.groups:
            raise ValueError(f"router.groups: {self.choices} experts do not divide into {r.groups} equal groups")
        within = self.choices // r.groups * r.top_groups
        if self.top_k > within:
            raise ValueError(
                f"top_k: {self.top_k} is more than the {within} experts of the {r.top_groups} groups a token may choose from"
            )
        if r.groups > 1 and r.group_score == "top2" and self.choices // r.groups < 2:
            raise ValueError("router.group_score: groups of one expert have no best two")
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        return ("tokens",) if self.router.hashed else ()

    def beside(self, batch: int, length: int, d_model: int) -> dict[str, Tensor]:
        return {"tokens": torch.zeros(batch, length, dtype=torch.long)} if self.router.hashed else {}

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
        """Of a token's experts, how many have weights: the average where all are chosen alike, and at least one."""
        return max(1, round(self.top_k * self.count / self.choices))

    def expert_parameters(self, d_model: int) -> int:
        """Parameters of one routed expert."""
        width = self.latent or d_model
        biases = (self.matrices - 1) * self.d_ff + width if self.bias else 0
        return self.matrices * width * self.d_ff + biases

    @property
    def beside_all(self) -> "Experts":
        """The part with the shared network's own activation."""
        own = {key: value for key in ("activation", "clamp") if (value := getattr(self.shared, key)) is not None}
        own |= {"limit": None} if self.limit and not self.shared.limited else {}
        return self.model_copy(update=own) if own else self

    def idle_parameters(self, d_model: int) -> int:
        return (self.count - self.active) * self.expert_parameters(d_model)

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

    def shrink(self, scale: float) -> "Experts":
        equal = 8 * max(1, self.scored)  # a width that divides into as many experts
        shared = self.shared and self.shared.model_copy(
            update={"d_ff": scaled(self.shared.d_ff, scale, multiple=equal)}
        )
        latent = self.latent and scaled(self.latent, scale)
        small = {
            "d_ff": scaled(self.d_ff, scale),
            "shared": shared,
            "latent": latent,
            "vocab_size": None,
        }
        return self.model_copy(update=small)

    def facts(self):
        yield f"{self.top_k} of {self.count}" + (f" + {self.shared.count} shared" if self.shared else "")
        if self.zero:
            yield f"and {self.zero} that do nothing"

    def explain(self, d_model: int) -> str:
        r = self.router
        best = f"the {self.top_k} of its row in a fixed table" if r.hashed else f"the best {self.top_k}"
        words = (
            f"A router scores {self.count} feed-forward networks for each token ({r.score}) and sends it to {best}. Each is "
            f"{NAMES[self.activation]} of width {self.d_ff:,}, {self.expert_parameters(d_model):,} parameters. "
        )
        if self.zero:
            words += (
                f"{self.zero} more have no weights and give back what they read, so easy tokens cost less: of its {self.top_k} "
                f"a token has {self.active} with weights where all are chosen alike, and so many are counted as active. "
            )
        if self.latent:
            words += f"They work on a projection of the stream to {self.latent:,} channels. "
        if r.groups > 1:
            words += f"A token may choose only from the best {r.top_groups} of {r.groups} groups. "
        if self.shared:
            words += f"A shared network of width {self.shared.d_ff:,} sees every token. "
        if r.selection_bias:
            words += "A bias on the choice, raised for idle experts and lowered for busy ones, keeps the load even without a loss term. "
        return words.strip()

    def checklist(self, d_model: int) -> Iterator[str]:
        r = self.router
        yield "Router logits and scores are computed in float32."
        if r.hashed:
            yield "Experts are looked up by the token's own number; only their weights come from the scores."
        if r.score == "sqrt_softplus":
            yield "A score is the square root of softplus of its logit."
        if r.over == "chosen" and r.score == "softmax":
            yield f"The softmax is over the {self.top_k} chosen logits, not over all {self.choices}."
        elif r.over == "chosen":
            yield f"Experts are chosen by their logits{', with the bias' if r.selection_bias else ''}; the sigmoid comes after."
        elif r.over == "near":
            yield f"A choice's weight is its softmax among those left whose logit is within {r.near:.0%}; the weights' sum is not one."
        if r.normalise:
            yield f"The {self.top_k} chosen scores are divided by their sum."
        elif r.over == "all" or r.score == "sigmoid":
            yield f"The {self.top_k} chosen scores are used as they are: their sum is not one."
        if r.hidden:
            yield f"Router logits come from {r.hidden} channels: a norm, then two layers with biases and exact GELU."
        if r.carry:
            yield "The router adds what the layer before had in those channels, times learned scales, before the norm."
        if self.skip:
            yield "A token that chooses an expert without weights is given nothing here."
        elif self.zero:
            yield f"Experts {self.count} to {self.choices - 1} return their input, times their weight like any other's output."
        if r.scale != 1:
            yield f"The weights are then multiplied by {r.scale:g}."
        if r.selection_bias:
            yield "The selection bias sways the choice alone; weights come from the scores without it."
        if r.top_groups < r.groups:
            worth = "its best score" if r.group_score == "max" else "the sum of its best two scores"
            yield f"A group is worth {worth}; only the best {r.top_groups} of {r.groups} groups may be chosen from."
        if self.weigh == "before":
            yield "A weight multiplies what an expert reads, not what it gives."
        if self.shared and self.shared.gate:
            yield "The shared network's output is multiplied by a sigmoid of the input."
        if self.shared and self.beside_all is not self:
            yield f"The shared network's activation is another: {NAMES[self.beside_all.activation]}."
            yield from self.beside_all.notes()
        if self.branch_norms:
            yield "The routed experts and the shared network each read through a norm and give through another; then they are summed."
        if r.norm:
            yield f"The router reads the stream itself over its root mean square, times a learned scale and 1 / √{d_model:,}."
        if r.expert_scale:
            yield "Each chosen weight is then multiplied by its expert's own learned number."
        if self.scored:
            yield f"The {self.scored} shared experts' scores are among those that are divided by their sum; each weighs its own expert."
        if r.all_scale:
            yield "All weights are then multiplied by one learned number."
        if self.shared and self.shared.average:
            yield "The sum of the shared network's output and the routed experts' is halved."
        yield from self.notes()


class ExpertsModule(nn.Module):
    def __init__(self, part: Experts, d_model: int):
        super().__init__()
        self.part = part
        self.router = RouterModule(part, d_model)
        self.enter = Linear(d_model, part.latent) if part.latent else None
        self.experts = StackedExperts(part, part.latent or d_model)
        self.leave = Linear(part.latent, d_model) if part.latent else None
        if part.shared:
            self.shared = FeedForwardModule(part.beside_all, d_model, part.shared.d_ff, bias=part.shared.bias)
            self.shared_gate = Linear(d_model, 1) if part.shared.gate else None
        for branch in ("experts", "shared") if part.branch_norms else ():
            if branch == "experts" or part.shared:
                self.add_module(f"{branch}_norm", part.norm.build(d_model))
                self.add_module(f"{branch}_post_norm", part.norm.build(d_model))

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """(B, T, d_model), and (B, T) where the router is a table -> (B, T, d_model)."""
        weights, chosen, *shares = self.router(x, tokens)  # (B, T, K) twice, (B, T, S) of shared experts with scores
        h = self.experts_norm(x) if self.part.branch_norms else x
        y = self.experts(self.enter(h) if self.enter else h, weights, chosen)
        y = self.leave(y) if self.leave else y
        y = self.experts_post_norm(y) if self.part.branch_norms else y
        if self.part.shared:
            shared = self.shared(self.shared_norm(x) if self.part.branch_norms else x, *shares)
            shared = self.shared_post_norm(shared) if self.part.branch_norms else shared
            y = y + (shared if self.shared_gate is None else torch.sigmoid(self.shared_gate(x)) * shared)
            y = y / 2 if self.part.shared.average else y
        return y


class RouterModule(nn.Module):
    box = "router"
    label = "Router"
    explain = "One row of weights for each expert: its product with the token is the expert's logit."

    def __init__(self, part: Experts, d_model: int):
        super().__init__()
        self.part = part
        self.scored = getattr(part, "scored", 0)  # shared experts that have a row too
        hidden = part.router.hidden
        self.weight = normal(part.choices + self.scored, hidden or d_model)
        if hidden:
            self.explain = (
                "The token's own channels, fewer of them, pass two layers before each expert's row of weights."
            )
            self.down, self.norm = Linear(d_model, hidden, bias=True), part.norm.build(hidden)
            self.first, self.second = Linear(hidden, hidden, bias=True), Linear(hidden, hidden, bias=True)
        self.carried = nn.Parameter(torch.ones(hidden)) if part.router.carry else None
        self.source: tuple[RouterModule, ...] = ()  # the layer before's, in a tuple so that it is no child
        self.latest: Tensor | None = None
        self.bias = nn.Parameter(torch.zeros(part.choices + self.scored)) if part.router.bias else None
        self.all_scale = nn.Parameter(torch.ones(1)) if part.router.all_scale else None
        self.scale = nn.Parameter(torch.ones(d_model)) if part.router.norm else None
        self.expert_scale = nn.Parameter(torch.ones(part.choices)) if part.router.expert_scale else None
        # Moved by the balancing rule rather than by a gradient, hence a buffer; some models count it nevertheless.
        bias = torch.zeros(part.choices) if part.router.selection_bias else None
        if part.router.counted:
            self.selection_bias = nn.Parameter(bias, requires_grad=False)
        else:
            self.register_buffer("selection_bias", bias)
        self.register_buffer("table", self.spread() if part.router.hashed else None)

    def spread(self) -> Tensor:
        """Experts for every token, (vocab_size, K): each expert as often as any other."""
        part = self.part
        return torch.arange(part.vocab_size * part.top_k).remainder(part.choices).view(part.vocab_size, part.top_k)

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
        if r.norm:
            x = F.rms_norm(x, x.shape[-1:], None, self.part.norm.eps) * self.scale.float() * x.shape[-1] ** -0.5
        logits = F.linear(x, self.weight.float(), None if self.bias is None else self.bias.float())
        if r.softcap:
            logits = r.softcap * torch.tanh(logits / r.softcap)
        return self.score(logits) if r.over == "all" else logits

    def layers(self, x: Tensor) -> Tensor:
        """What the logits are read from, (B, T, hidden), where the router is a network; the next layer's may read it too."""
        x = self.down(x)
        if self.source:
            x = x + self.source[0].latest * self.carried
        self.latest = x
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
        """The scores with -inf outside each token's best groups."""
        r = self.part.router
        if r.top_groups == r.groups:
            return scores
        grouped = scores.unflatten(-1, (r.groups, -1))  # (B, T, groups, E / groups)
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


class StackedExperts(nn.Module):
    """All experts' matrices as one tensor a projection, (E, out, in), so that cost does not grow with their number."""

    box = "experts"
    keeps_shape = True
    label = "Routed experts"
    explain = "Each token passes the experts it was sent to; their outputs are summed by the router's weights."

    def __init__(self, part: Experts, d_model: int):
        super().__init__()
        self.part = part
        e, f, d = part.count, part.d_ff, d_model
        shapes = {"gate": (f, d), "up": (f, d), "down": (d, f)}
        if not part.gated:
            del shapes["gate"]
        for name, shape in shapes.items():
            setattr(self, name, normal(e, *shape))
            setattr(self, f"{name}_bias", nn.Parameter(torch.zeros(e, shape[0])) if part.bias else None)
        self.out_bias = nn.Parameter(torch.zeros(d)) if part.out_bias else None

    def forward(self, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
        """(B, T, d_model), (B, T, K), (B, T, K) -> the weighted sum of the chosen experts' outputs, (B, T, d_model)."""
        k = self.part.top_k
        order = chosen.flatten().argsort()  # (B T K,): slots, expert by expert
        expert = chosen.flatten()[order]
        weight = weights.flatten()[order].unsqueeze(-1)
        slots = x.flatten(0, 1)[order // k]  # (B T K, d_model)
        slots = slots * weight if self.part.weigh == "before" else slots
        slots, same = slots.tensor_split((self.filled(expert),))  # the last experts give back what they read
        expert = expert[: len(slots)]
        gate = self.project("gate", slots, expert) if self.part.gated else None
        y = self.part.activate(self.project("up", slots, expert), gate)  # (B T K, d_ff)
        same = torch.zeros_like(same) if self.part.skip else same
        y = torch.cat((self.project("down", y, expert), same))  # (B T K, d_model)
        y = y * weight if self.part.weigh == "after" else y
        y = torch.zeros_like(x).flatten(0, 1).index_add(0, order // k, y).view_as(x)
        return y if self.out_bias is None else y + self.out_bias

    def filled(self, expert: Tensor) -> int:
        """How many slots, of those sorted by expert, go to experts with weights; without values, as many as are counted."""
        if expert.is_meta:
            return len(expert) // self.part.top_k * self.part.active
        return int((expert < self.part.count).sum())

    @property
    def scratch(self) -> int:
        """Values that one token's experts write on the way: every projection, and what the activation makes of them."""
        part, d_model = self.part, self.down.shape[1]
        return part.active * (part.matrices * part.d_ff + d_model)

    def project(self, name: str, x: Tensor, expert: Tensor) -> Tensor:
        """Each row through its own expert's matrix: (N, in), (N,) -> (N, out)."""
        matrix, bias = getattr(self, name), getattr(self, f"{name}_bias")  # (E, out, in), (E, out)
        y = grouped_linear(x, matrix, expert)
        return y if bias is None else y + bias[expert]


def grouped_linear(x: Tensor, matrix: Tensor, expert: Tensor) -> Tensor:
    """x[i] @ matrix[expert[i]].T for rows sorted by expert: (N, in), (E, out, in), (N,) -> (N, out)."""
    if x.is_meta:  # without values any expert's matrix gives the shape, and the FLOPs
        return x @ matrix[0].mT
    ends = torch.bincount(expert, minlength=len(matrix)).cumsum(0)
    # grouped_mm wants rows of whole 16 bytes, and knows no float64.
    if not len(x) or x.dtype == torch.float64 or any(width % 8 for width in matrix.shape[1:]):
        rows = x.tensor_split(ends[:-1].cpu())
        return torch.cat([part @ m.mT for part, m in zip(rows, matrix, strict=True)])
    return F.grouped_mm(x, matrix.mT, offs=ends.int())
