"""DeepSeek sparse attention (DeepSeek-V3.2, arXiv:2512.02556, section 2.1): a small indexer chooses the tokens that latent attention
reads, for its own layer or also for the following layers (arXiv:2603.12201)."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Borrow, Box, Cache, Eps, Flops, HeadDim, Heads, Lends, Linear, Rank, Read, Shape, Spec, causal_pairs
from .chosen import LightningIndexer
from .latent import LatentAttention, LatentAttentionModule
from .norm import LayerNorm
from .position import Position, Rope, Rotary, TurnLast, Unturned


class TokenIndexer(Spec):
    """Scores all tokens in narrow heads, with one key per token. I = heads, D = dim, K = top_k."""

    heads: Heads = Field(description="Query heads of the indexer", examples=[64])
    dim: HeadDim = Field(description="Channels of its queries, and of the key that is cached", examples=[128])
    top_k: Annotated[int, Field(ge=1, le=1_048_576)] = Field(description="Tokens that each token attends to", examples=[2048])
    interleaved: bool = Field(False, description="Rotary pairs are neighbours (x0, x1), not halves (GLM-5)")
    last: bool = Field(False, description="Rotates the last channels, not the first (Hy4)")
    eps: Eps = Field(1e-6, description="Epsilon of the norm of its key")

    def rotary(self, position: Position, rope_dim: int) -> nn.Module:
        if not isinstance(position, Rope):
            return Unturned()
        turned = position.model_copy(update={"interleaved": self.interleaved})
        return TurnLast(turned, rope_dim) if self.last else Rotary(turned, rope_dim, self.dim)

    def pairs(self, new: int, past: int) -> int:
        return causal_pairs(new, past, self.top_k)

    def flops(self, q_rank: int, d_model: int, new: int, past: int) -> Flops:
        return Flops(
            index_q=2 * new * q_rank * self.heads * self.dim,
            index_k=2 * new * d_model * self.dim,
            index_weights=2 * new * d_model * self.heads,
            indexer=2 * self.heads * (self.dim + 1) * causal_pairs(new, past),
        )

    def shrink(self, rope_dim: int) -> "TokenIndexer":
        few = {"heads": min(self.heads, 4), "dim": max(16, rope_dim), "top_k": min(self.top_k, 12)}
        return self.model_copy(update=few)

    def explain(self) -> str:
        return (
            f"An indexer of {self.heads} narrow heads scores every earlier token by a key of {self.dim} values, and "
            f"latent attention reads only the best {self.top_k:,}."
        )

    def checklist(self, rope_dim: int) -> Iterator[str]:
        yield "The indexer's scores pass ReLU before the weighted sum over its heads; the choice needs no softmax."
        pairs, which = "neighbours" if self.interleaved else "halves", "last" if self.last else "first"
        yield f"The {which} {rope_dim} channels of the indexer's queries and key are rotated as {pairs}, independent of the attention."
        yield "The indexer's key has a LayerNorm with a bias, and is cached beside the latent."


class SparseLatentAttention(LatentAttention):
    """Latent attention to the best tokens of an indexer."""

    title = "Sparse latent attention"
    line = "latent attention to the tokens an indexer picks"
    also = (*LatentAttention.also, "DSA", "DeepSeek sparse attention")
    group = "sparse"

    kind: Literal["sparse_latent_attention"]  # type: ignore[assignment]
    q_rank: Rank = Field(description="Rank of the query projection, shared with the indexer", examples=[1536])
    indexer: TokenIndexer = Field(description="Chooses the tokens")
    choice_from: str | None = Field(
        None, max_length=64, description="Part whose indexer in the nearest earlier layer is used, or `previous`"
    )

    @model_validator(mode="after")
    def _indexed(self):
        if self.indexer.dim < self.rope_dim:
            raise ValueError(f"indexer.dim: {self.rope_dim} of its channels are rotated; give at least {self.rope_dim}")
        if self.reach:
            raise ValueError("sight: the indexer chooses among all earlier tokens; remove sight")
        return self

    def build(self, d_model: int) -> nn.Module:
        return SparseLatentModule(self, d_model)

    def pairs(self, new: int, past: int) -> int:
        return self.indexer.pairs(new, past)

    def cache(self, length: int) -> dict[str, Shape]:
        return super().cache(length) | ({} if self.choice_from else {"index key": (length, self.indexer.dim)})

    def cache_read(self, length: int) -> dict[str, Shape] | None:
        """The chosen tokens; the indexer reads the keys of all."""
        own = {} if self.choice_from else {"index key": (length, self.indexer.dim)}
        chosen = super().cache(min(length, self.indexer.top_k))
        return {name: shape for name, shape in chosen.items() if name != "index key"} | own

    def reads(self, d_model: int) -> tuple[Read, ...]:
        chosen = Read("indexer", self.choice_from or "", (self.indexer.top_k,), "indexer", "choice_from")
        return (*super().reads(d_model), chosen) if self.choice_from else super().reads(d_model)

    def lends(self, d_model: int) -> dict[str, Shape]:
        return {} if self.choice_from else {"indexer": (self.indexer.top_k,)}

    def flops_forms(self, d_model: int, new: int, past: int) -> dict[str, Flops]:
        """Either form of latent attention over the chosen tokens; the indexer scores all that a token may see."""
        choice = {} if self.choice_from else self.indexer.flops(self.q_rank, d_model, new, past)
        return {form: Flops(own | choice) for form, own in super().flops_forms(d_model, new, past).items()}

    def shrink(self, scale: float) -> Self:
        small = super().shrink(scale)
        return small.model_copy(update={"indexer": self.indexer.shrink(small.rope_dim)})

    def facts(self) -> Iterator[str]:
        yield f"latent {self.kv_rank} + {self.rope_dim}"
        yield f"best {self.indexer.top_k:,}"
        yield "borrowed choice" if self.choice_from else "own indexer"

    def explain(self, d_model: int) -> str:
        borrowed = f"It reads the {self.indexer.top_k:,} tokens that an earlier layer's indexer chose; this layer has no indexer."
        return f"{borrowed if self.choice_from else self.indexer.explain()} {super().explain(d_model)}"

    def checklist(self, d_model: int) -> Iterator[str]:
        if self.choice_from:
            yield "This layer attends to the tokens that an earlier layer chose: it has no indexer and caches no index key."
        else:
            yield from self.indexer.checklist(self.rope_dim)
        yield from super().checklist(d_model)


class SparseLatentModule(LatentAttentionModule):
    part: SparseLatentAttention
    indexer: Box

    def __init__(self, part: SparseLatentAttention, d_model: int):
        super().__init__(part, d_model)
        i = part.indexer
        if part.choice_from:
            self.indexer = Chosen(i.top_k, dtype=torch.long)
            return
        self.index_q = Linear(part.q_rank, i.heads * i.dim)
        self.index_k = Linear(d_model, i.dim)
        self.index_norm = LayerNorm(eps=i.eps).build(i.dim)
        self.index_weights = Linear(d_model, i.heads)
        self.index_rotary = i.rotary(part.position, part.rope_dim)
        self.index_cache = Cache()
        self.indexer = Indexer(i.heads, i.dim, i.top_k)

    def choose(self, x: Tensor, compressed: Tensor, positions: Tensor) -> Tensor:
        """The tokens that each token attends to, (B, T, K)."""
        if self.part.choice_from:
            return self.indexer(x)
        q = self.index_q(compressed).unflatten(-1, (self.part.indexer.heads, -1))  # (B, T, I, D)
        k = self.index_norm(self.index_k(x)).unsqueeze(2)  # (B, T, 1, D)
        q, k = self.index_rotary(q, positions), self.index_rotary(k, positions)
        return self.indexer(q, self.index_cache(k.squeeze(2)), self.index_weights(x), positions)


class Indexer(Lends, LightningIndexer):
    """Later layers may attend to what this one chose."""

    def forward(self, q: Tensor, k: Tensor, weights: Tensor, positions: Tensor) -> Tensor:
        return self.lend(super().forward(q, k, weights, positions))


class Chosen(Borrow):
    label = "Another layer's choice"
    explain = "The tokens that an earlier layer's indexer chose; this layer has no indexer."
