"""DeepSeek sparse attention (DeepSeek-V3.2, arXiv:2512.02556, section 2.1): a light indexer chooses which tokens latent attention
reads, for its own layer or for those that follow too (arXiv:2603.12201)."""

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import Borrow, Eps, Flops, HeadDim, Heads, Keep, Lends, Linear, Shape, Width, causal_pairs
from .chosen import LightningIndexer
from .latent import LatentAttention, LatentAttentionModule, Rank
from .norm import LayerNorm
from .position import Rope, Rotary, TurnLast


class SparseLatentAttention(LatentAttention):
    """Latent attention to the `top_k` tokens that score best under index_heads narrow queries and one key a token.
    I = index_heads, D = index_dim, K = top_k."""

    title = "Sparse latent attention"
    borrows = "choice_from"

    kind: Literal["sparse_latent_attention"]
    q_rank: Rank = Field(description="Width that queries, the indexer's too, are compressed to", examples=[1536])
    index_heads: Heads = Field(description="Query heads of the indexer", examples=[64])
    index_dim: HeadDim = Field(
        description="Channels of an indexer's query, and of the key that is kept", examples=[128]
    )
    top_k: Width = Field(description="Tokens that each token attends to", examples=[2048])

    choice_from: str | None = Field(
        None,
        max_length=64,
        description="Attends to what the nearest earlier layer with this part chose, or that of `previous`: no indexer of its own",
    )
    index_interleaved: bool = Field(
        False, description="The indexer turns neighbours (x0, x1) rather than halves (GLM-5)"
    )

    index_last: bool = Field(False, description="The last channels of the indexer's vectors turn, not the first (Hy4)")
    index_eps: Eps = Field(1e-6, description="Epsilon of the norm of the indexer's key")

    @model_validator(mode="after")
    def _indexed(self):
        if self.index_dim < self.rope_dim:
            raise ValueError(f"index_dim: {self.rope_dim} of its channels turn; give at least that")
        if self.window:
            raise ValueError("window: the indexer chooses among all earlier tokens; give top_k alone")
        return self

    @property
    def attended(self) -> int:
        return self.top_k

    def build(self, d_model: int) -> nn.Module:
        return SparseLatentModule(self, d_model)

    def cache(self, length: int) -> dict[str, Shape]:
        return super().cache(length) | ({} if self.choice_from else {"index key": (length, self.index_dim)})

    def lends(self) -> dict[str, Shape]:
        return self.cache(1) | {"choice": (self.top_k,)}

    def flops_forms(self, d_model: int, new: int, past: int) -> dict[str, Flops]:
        """Either form of latent attention over the chosen tokens; the indexer scores all that a token may see."""
        if self.choice_from:
            return super().flops_forms(d_model, new, past)
        i, d = self.index_heads, self.index_dim
        indexer = Flops(
            index_q=2 * new * self.q_rank * i * d,
            index_k=2 * new * d_model * d,
            index_weights=2 * new * d_model * i,
            indexer=2 * i * (d + 1) * causal_pairs(new, past),
        )
        return {form: Flops(own | indexer) for form, own in super().flops_forms(d_model, new, past).items()}

    def shrink(self, scale: float) -> "SparseLatentAttention":
        few = {"index_heads": min(self.index_heads, 4), "index_dim": 16, "top_k": min(self.top_k, 12)}
        return super().shrink(scale).model_copy(update=few)

    def facts(self) -> Iterator[str]:
        yield f"latent {self.kv_rank} + {self.rope_dim}"
        yield f"best {self.top_k:,}"

    def explain(self, d_model: int) -> str:
        if self.choice_from:
            return (
                f"It reads the {self.top_k:,} tokens that an earlier layer's indexer chose, and has none of its own. "
                f"{super().explain(d_model)}"
            )
        return (
            f"An indexer of {self.index_heads} narrow heads scores every earlier token by a key of {self.index_dim} values, and "
            f"latent attention reads only the best {self.top_k:,}. {super().explain(d_model)}"
        )

    def checklist(self, d_model: int) -> Iterator[str]:
        if self.choice_from:
            yield "This layer attends to the tokens that an earlier layer chose: it has no indexer and keeps no index key."
            yield from super().checklist(d_model)
            return
        yield "The indexer's scores pass ReLU before its heads are weighed and summed; the choice needs no softmax."
        pairs = "neighbours" if self.index_interleaved else "halves"
        which = "last" if self.index_last else "first"
        yield f"The {which} {self.rope_dim} channels of the indexer's queries and key turn as {pairs}, whatever the attention does."
        yield "The indexer's key has a LayerNorm with a bias, and is kept beside the latent."
        yield from super().checklist(d_model)


class SparseLatentModule(LatentAttentionModule):
    def __init__(self, part: SparseLatentAttention, d_model: int):
        super().__init__(part, d_model)
        if part.choice_from:
            self.indexer = Chosen(part.top_k, dtype=torch.long)
            return
        self.index_q = Linear(part.q_rank, part.index_heads * part.index_dim)
        self.index_k = Linear(d_model, part.index_dim)
        self.index_norm = LayerNorm(eps=part.index_eps).build(part.index_dim)
        self.index_weights = Linear(d_model, part.index_heads)
        self.index_rotary = None
        if isinstance(part.position, Rope):
            rope = part.position.model_copy(update={"interleaved": part.index_interleaved})
            self.index_rotary = (TurnLast if part.index_last else Rotary)(rope, part.rope_dim)
        self.index_cache = Keep()
        self.indexer = Indexer(part.index_heads, part.index_dim, part.top_k)

    def choose(self, x: Tensor, compressed: Tensor, positions: Tensor) -> Tensor:
        """The tokens that each token attends to, (B, T, K)."""
        if self.part.choice_from:
            return self.indexer(x)
        q = self.index_q(compressed).unflatten(-1, (self.part.index_heads, self.part.index_dim))  # (B, T, I, D)
        k = self.index_norm(self.index_k(x)).unsqueeze(2)  # (B, T, 1, D)
        if self.index_rotary is not None:
            q, k = self.index_rotary(q, positions), self.index_rotary(k, positions)
        return self.indexer(q, self.index_cache(k.squeeze(2)), self.index_weights(x), positions)


class Indexer(Lends, LightningIndexer):
    """Later layers may attend to what this one chose."""

    def forward(self, q: Tensor, k: Tensor, weights: Tensor, positions: Tensor) -> Tensor:
        return self.lend(super().forward(q, k, weights, positions))


class Chosen(Borrow):
    lender = "indexer"
    label = "Another layer's choice"
    explain = "The tokens that an earlier layer's indexer chose: this layer scores none itself."
