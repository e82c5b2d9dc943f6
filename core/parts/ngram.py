"""N-gram embeddings (arXiv:2601.21204; LongCat-Flash-Lite): hashed embedding tables of n-grams, besides the token embedding table."""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from .base import Box, Cache, Embedding, Linear, Spec


class NGrams(Spec):
    """A token is looked up together with the one before it, the two before it and so on, in several tables for each length.

    An n-gram's row in a table of R rows is its tokens read as a number in base vocab_size, modulo R. The tables' sizes differ by
    two, so that n-grams that share a row in one table rarely share one in the next. The input of the first block is the mean of the
    token's own vector and all vectors found, each projected by its table's own matrix.
    """

    longest: Annotated[int, Field(ge=2, le=8)] = Field(4, description="Tokens of the longest n-gram, the last one included")
    tables: Annotated[int, Field(ge=1, le=8)] = Field(4, description="Tables for each n-gram length")
    rows: Annotated[int, Field(ge=2, le=2**31)] = Field(
        description="Rows of the first table; each further table has two more", examples=[4096]
    )
    end: Annotated[int, Field(ge=0, lt=16_777_216)] | None = Field(None, description="End-of-text token; no n-gram reaches past it")

    @property
    def count(self) -> int:
        return self.tables * (self.longest - 1)

    def shrink(self, vocab_size: int) -> "NGrams":
        end = self.end if self.end is None or self.end < vocab_size else None
        return self.model_copy(update={"rows": min(self.rows, 2 * vocab_size + 1), "end": end})

    def explain(self, d_model: int) -> str:
        return (
            f"The n-grams of the last 2 to {self.longest} tokens are also looked up, each in {self.tables} tables of about "
            f"{self.rows:,} rows by its hash: {self.count} vectors of {d_model // self.count:,} values, projected and averaged with the "
            "token's own. A table costs memory but no FLOPs."
        )


class Recent(Cache):
    """The last token ids, which the next n-grams begin with: a few integers, which no cache size counts."""

    nbytes = 0


class NGramEmbedding(Box):
    box = "embedding"
    keeps_shape = True
    label = "N-gram embedding"
    unread = "in rows that are not read"

    def __init__(self, ngrams: NGrams, vocab_size: int, d_model: int):
        super().__init__()
        self.ngrams, self.vocab_size, self.explain = ngrams, vocab_size, ngrams.explain(d_model)
        width = d_model // ngrams.count
        rows = [ngrams.rows + 2 * i for i in range(ngrams.count)]
        self.tables = nn.ModuleList(Embedding(n, width) for n in rows)
        self.ups = nn.ModuleList(Linear(width, d_model) for _ in rows)
        self.recent = Recent(ngrams.longest)
        self.token_flops = 2 * ngrams.count * width * d_model
        self.idle = (sum(rows) - ngrams.count) * width  # a token reads one row of each

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:  # (B, T, d_model), (B, T)
        before = earlier(self.recent(tokens), self.ngrams.longest, tokens.shape[1], self.ngrams.end)
        for i, (table, up) in enumerate(zip(self.tables, self.ups, strict=True)):
            run, rows = before[: 2 + i // self.ngrams.tables], self.ngrams.rows + 2 * i
            place = sum(token * pow(self.vocab_size, back, rows) for back, token in enumerate(run)) % rows  # (B, T)
            x = x + up(table(place))
        return x / (1 + self.ngrams.count)


def earlier(seen: Tensor, longest: int, new: int, end: int | None, other: int = 0) -> list[Tensor]:
    """The tokens 0, 1, ... `longest` - 1 places before each of the `new` last ones, (B, T) each; `other` if these are in
    another text, which the token `end` ends, or before the first token."""
    ends = seen == (-1 if end is None else end)
    text = ends.cumsum(1) - ends.long()  # (B, S): how many texts have ended before
    shifted = [seen]
    for back in range(1, longest):
        same = F.pad(text + 1, (back, 0))[:, : seen.shape[1]] == text + 1
        shifted.append(torch.where(same, F.pad(seen, (back, 0))[:, : seen.shape[1]], other))
    return [tokens[:, -new:] for tokens in shifted]
